// Places in the member that runs have to come by, or they prove less than they seem to.

export const placeNames = [
  "writes acknowledged",
  "writes refused",
  "writes of unknown outcome",
  "reads",
  "crashes",
  "lives with a log to replay",
  "torn tails repaired",
  "segments begun",
  "segments released",
  "snapshots saved",
  "leases expired",
  "lease checkpoints",
  "compactions",
  "watches resumed",
  "watches caught up",
] as const;

export type PlaceName = (typeof placeNames)[number];
