// SETTINGS: ours, and what a client's change.

import {
  ConnectionError,
  ErrorCode,
  frameBytesMax,
  Setting,
  uint32At,
  windowBytesMax,
  writeUint32,
} from "./protocol.ts";
import { streamWindowBytes } from "./receive-windows.ts";

/** The dynamic table we keep for a client's fields. */
export const tableBytes = 4096;

export function ourSettings(streamsMax: number, headerListBytesMax: number): Uint8Array {
  const settings = [
    [Setting.maxConcurrentStreams, streamsMax],
    [Setting.initialWindowSize, streamWindowBytes],
    [Setting.maxHeaderListSize, headerListBytesMax],
  ] as const;
  const payload = new Uint8Array(settings.length * 6);
  settings.forEach(([id, value], i) => {
    payload[i * 6 + 1] = id;
    writeUint32(payload, i * 6 + 2, value);
  });
  return payload;
}

export interface SettingsSink {
  headerTableSize(value: number): void;
  initialWindowSize(value: number): void;
}

/** Applies a client's settings in their order. Throws ConnectionError. */
export function applySettings(bytes: Uint8Array, start: number, end: number, sink: SettingsSink): void {
  if ((end - start) % 6 !== 0) {
    throw new ConnectionError(ErrorCode.frameSizeError, `SETTINGS of ${end - start} bytes`);
  }
  for (let at = start; at < end; at += 6) {
    const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    const value = uint32At(bytes, at + 2);
    switch (id) {
      case Setting.headerTableSize:
        sink.headerTableSize(value);
        break;
      case Setting.enablePush:
        if (value > 1) throw bad(ErrorCode.protocolError, "ENABLE_PUSH", value);
        break;
      case Setting.initialWindowSize:
        if (value > windowBytesMax) throw bad(ErrorCode.flowControlError, "INITIAL_WINDOW_SIZE", value);
        sink.initialWindowSize(value);
        break;
      case Setting.maxFrameSize:
        if (value < frameBytesMax || value > 0xff_ffff)
          throw bad(ErrorCode.protocolError, "MAX_FRAME_SIZE", value);
        break;
      default:
        // MAX_CONCURRENT_STREAMS and MAX_HEADER_LIST_SIZE bind pushes and long answers, which there are none of;
        // others are unknown, and to be ignored.
        break;
    }
  }
}

function bad(code: number, name: string, value: number): ConnectionError {
  return new ConnectionError(code, `SETTINGS_${name} of ${value}`);
}
