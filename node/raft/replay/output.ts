// Where members and commands of a transcript write to: lines with a level are left out below a threshold, and at the
// last level everything is.

import type { RaftLogger } from "../logger.ts";

export const levelNames = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"] as const;

export class Output implements RaftLogger {
  text = "";
  /** Position in levelNames. */
  level = 0;

  get isQuiet(): boolean {
    return this.level === levelNames.length - 1;
  }

  clear(): void {
    this.text = "";
  }

  /** False for a name that is no level; the case does not matter. */
  setLevel(name: string): boolean {
    const level: number = (levelNames as readonly string[]).indexOf(name.toUpperCase());
    if (level >= 0) this.level = level;
    return level >= 0;
  }

  write(text: string): void {
    if (!this.isQuiet) this.text += text;
  }

  /** Whatever is written meanwhile gets two spaces in front of each line. */
  indented<T>(run: () => T): T {
    const before = this.text;
    this.text = "";
    const result = run();
    const lines = this.text.split("\n");
    if (lines.at(-1) === "") lines.pop();
    this.text = before + lines.map((line) => `  ${line}\n`).join("");
    return result;
  }

  debug(line: string): void {
    this.#log(0, line);
  }

  info(line: string): void {
    this.#log(1, line);
  }

  warning(line: string): void {
    this.#log(2, line);
  }

  error(line: string): void {
    this.#log(3, line);
  }

  #log(level: number, line: string): void {
    if (level >= this.level) this.write(`${levelNames[level]} ${line}\n`);
  }
}
