// Reads settings by the names of their flags.

import { flagTable } from "./flags.ts";
import { type FlagValue, parseValue, type Settings } from "./sources.ts";

/** Reads a flag: what was set, else what an older name of it was set to, else its default. */
export function reader(settings: Settings): <T>(name: string) => T {
  return <T>(name: string): T => {
    const spec = flagTable.get(name);
    if (spec === undefined) throw new Error(`no such flag: ${name}`);
    const value = settings.get(name) ?? settings.get(`experimental-${name}`);
    // The table's kind decides the type, and the caller names the same one.
    return (value ?? defaultOf(name)) as T;
  };
}

export function defaultOf(name: string): FlagValue {
  const spec = flagTable.get(name);
  const parsed = spec === undefined ? undefined : parseValue(spec, spec.default);
  if (parsed?.ok !== true) throw new Error(`the default of --${name} does not parse`);
  return parsed.value;
}
