/** Kubernetes' MicroTime: RFC 3339 with exactly six digits; the API server refuses the three of toISOString. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace("Z", "000Z");
}

/** Kubernetes' Time: RFC 3339 in whole seconds. */
export function secondTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, "Z");
}
