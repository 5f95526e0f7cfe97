/** JSON with sorted keys: the order in which an API server returns fields does not matter. Hot: every pass calls it. */
export function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  let text = "";
  const object = value as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(object).sort()) {
    const part = object[key];
    if (part === undefined) continue;
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonical(part)}`;
  }
  return `{${text}}`;
}
