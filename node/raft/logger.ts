// The port through which Raft tells what it does. Lines are stable texts that transcripts compare exactly, so a
// logger adds level, time and fields of its own but leaves the line as it is.

export interface RaftLogger {
  debug(line: string): void;
  info(line: string): void;
  warning(line: string): void;
  error(line: string): void;
}

export const silentLogger: RaftLogger = { debug() {}, info() {}, warning() {}, error() {} };
