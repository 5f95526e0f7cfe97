// The metrics port: what the member reports as it happens. Cheap plain calls; names, labels and the text form
// belong to the adapter. What can be asked at any time (sizes, revisions, leadership) is not here: the adapter
// asks for it when it is scraped.

export interface Counter {
  /** By one, unless told otherwise. */
  increment(by?: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

export interface Metrics {
  /** Writing a batch to the log, before its fsync. */
  readonly walWriteSeconds: Histogram;
  readonly walFsyncSeconds: Histogram;
  readonly walWriteBytes: Counter;
  /** One flush of the store. */
  readonly backendCommitSeconds: Histogram;
  readonly backendSnapshotSeconds: Histogram;
  readonly backendDefragSeconds: Histogram;
  readonly snapFsyncSeconds: Histogram;
  readonly snapSaveMarshallingSeconds: Histogram;
  readonly snapSaveTotalSeconds: Histogram;
  /** Making the store of a received snapshot durable, and all from its first byte on. */
  readonly snapDbSyncSeconds: Histogram;
  readonly snapDbSaveTotalSeconds: Histogram;

  readonly puts: Counter;
  /** Keys deleted. */
  readonly deletes: Counter;
  readonly ranges: Counter;
  readonly txns: Counter;
  readonly putBytes: Counter;
  readonly hashSeconds: Histogram;
  readonly hashRevSeconds: Histogram;

  /** Events sent to watchers. */
  readonly events: Counter;
  readonly compactedKeys: Counter;
  readonly compactionPauseMs: Histogram;
  readonly compactionTotalMs: Histogram;
  readonly indexCompactionPauseMs: Histogram;

  readonly leasesGranted: Counter;
  readonly leasesRevoked: Counter;
  readonly leasesRenewed: Counter;
  readonly leasesExpired: Counter;
  readonly leaseTtlSeconds: Histogram;

  readonly leaderChanges: Counter;
  readonly learnersPromoted: Counter;
  readonly proposalsFailed: Counter;
  readonly heartbeatSendFailures: Counter;
  readonly slowApplies: Counter;
  readonly slowReadIndexes: Counter;
  readonly readIndexesFailed: Counter;
  readonly rangeSeconds: Histogram;
  /** `operation` is the name of the request's field in an entry, such as "Put". */
  observeApply(operation: string, isSuccess: boolean, seconds: number): void;
}

const silentCounter: Counter = { increment() {} };
const silentHistogram: Histogram = { observe() {} };

export const silentMetrics: Metrics = {
  walWriteSeconds: silentHistogram,
  walFsyncSeconds: silentHistogram,
  walWriteBytes: silentCounter,
  backendCommitSeconds: silentHistogram,
  backendSnapshotSeconds: silentHistogram,
  backendDefragSeconds: silentHistogram,
  snapFsyncSeconds: silentHistogram,
  snapSaveMarshallingSeconds: silentHistogram,
  snapSaveTotalSeconds: silentHistogram,
  snapDbSyncSeconds: silentHistogram,
  snapDbSaveTotalSeconds: silentHistogram,
  puts: silentCounter,
  deletes: silentCounter,
  ranges: silentCounter,
  txns: silentCounter,
  putBytes: silentCounter,
  hashSeconds: silentHistogram,
  hashRevSeconds: silentHistogram,
  events: silentCounter,
  compactedKeys: silentCounter,
  compactionPauseMs: silentHistogram,
  compactionTotalMs: silentHistogram,
  indexCompactionPauseMs: silentHistogram,
  leasesGranted: silentCounter,
  leasesRevoked: silentCounter,
  leasesRenewed: silentCounter,
  leasesExpired: silentCounter,
  leaseTtlSeconds: silentHistogram,
  leaderChanges: silentCounter,
  learnersPromoted: silentCounter,
  proposalsFailed: silentCounter,
  heartbeatSendFailures: silentCounter,
  slowApplies: silentCounter,
  slowReadIndexes: silentCounter,
  readIndexesFailed: silentCounter,
  rangeSeconds: silentHistogram,
  observeApply() {},
};
