// The alarms that are raised, by member and kind. They are in the store, so that a restart does not forget them.

import type { Backend } from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { type NodeId, noNode } from "../lib/ids.ts";
import { codecs } from "../wire/codecs.ts";
import { AlarmAction, type AlarmMember, type AlarmRequest, AlarmType } from "../wire/rpc.ts";

export class Alarms {
  readonly #backend: Backend;
  #raised: AlarmMember[] = [];

  constructor(backend: Backend) {
    this.#backend = backend;
    this.restored();
  }

  /** The store was replaced: forgets what was known of the one before. */
  restored(): void {
    const raised: AlarmMember[] = [];
    const cursor = this.#backend.cursor("alarm", { start: emptyBytes });
    while (cursor.next()) raised.push(codecs.AlarmMember.decode(cursor.key));
    cursor.close();
    this.#raised = raised;
  }

  /** Those of one kind, or all for NONE. */
  raised(alarm: number = AlarmType.NONE): readonly AlarmMember[] {
    return alarm === AlarmType.NONE ? this.#raised : this.#raised.filter((one) => one.alarm === alarm);
  }

  get isEmpty(): boolean {
    return this.#raised.length === 0;
  }

  has(alarm: number): boolean {
    return this.#raised.some((one) => one.alarm === alarm);
  }

  /** Carries out a request and answers with the alarms that it names, raised, lowered or listed. */
  apply({ action, memberID, alarm }: AlarmRequest): readonly AlarmMember[] {
    if (action === AlarmAction.ACTIVATE) {
      if (alarm === AlarmType.NONE) return [];
      return [this.#raise(memberID, alarm)];
    }
    if (action === AlarmAction.DEACTIVATE) return this.#lower(memberID, alarm);
    return this.raised(alarm);
  }

  #raise(memberID: NodeId, alarm: number): AlarmMember {
    const known = this.#find(memberID, alarm);
    if (known !== undefined) return known;
    const raised = codecs.AlarmMember.create({ memberID, alarm });
    this.#raised = [...this.#raised, raised];
    this.#backend.put("alarm", codecs.AlarmMember.encode(raised), emptyBytes);
    return raised;
  }

  /** Only an alarm that is named exactly is lowered: neither "any member" nor "any kind" is understood. */
  #lower(memberID: NodeId, alarm: number): readonly AlarmMember[] {
    const known = memberID === noNode ? undefined : this.#find(memberID, alarm);
    if (known === undefined) return [];
    this.#raised = this.#raised.filter((one) => one !== known);
    this.#backend.delete("alarm", codecs.AlarmMember.encode(known));
    return [known];
  }

  #find(memberID: NodeId, alarm: number): AlarmMember | undefined {
    return this.#raised.find((one) => one.memberID === memberID && one.alarm === alarm);
  }
}
