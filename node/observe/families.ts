// How a group of metrics adds its families to the registry's list.

import type { BucketedValue, CountedValue, Family, Labels } from "./instruments.ts";

export interface Makers {
  readonly families: Family[];
  readonly counter: (name: string, help: string) => CountedValue;
  readonly histogram: (
    name: string,
    help: string,
    bounds: readonly number[],
    labels?: Labels,
  ) => BucketedValue;
}
