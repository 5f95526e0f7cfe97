// What the HTTP side asks the member for.

export type AlarmName = "NOSPACE" | "CORRUPT";

export interface HttpStatus {
  /** Active alarms of any member. */
  alarms(): readonly AlarmName[];
  hasLeader(): boolean;
  isLearner(): boolean;
  /**
   * Reads at most one key, with nobody's permissions checked; linearizable unless told otherwise. Rejects with
   * the error a client would get, within the time a request may take.
   */
  probeRead(options: { readonly isSerializable: boolean }): Promise<void>;
  /** "3.6.0", or undefined before the cluster has decided. */
  clusterVersion(): string | undefined;
  /** The layout of the store, "3.6.0". */
  storageVersion(): string;
}

/** What health requests report. */
export interface HealthMetrics {
  health(isHealthy: boolean): void;
  check(type: "livez" | "readyz", name: string, isOk: boolean): void;
}
