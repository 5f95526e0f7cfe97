export async function runCases(_k: unknown, _r: unknown): Promise<void> {}
