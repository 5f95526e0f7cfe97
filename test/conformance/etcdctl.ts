export async function runEtcdctl(_k: unknown, _r: unknown): Promise<void> {}
