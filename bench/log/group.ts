/** Three log processes, as their parent sees them. They end with it, by whatever end: their channel to it closes. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { FromNode, Look, Ports, Replies, Request, ToNode } from "./protocol.ts";

export const GROUP_SIZE = 3;
const LEADER_DEADLINE_MS = 20_000;
const LOOK_INTERVAL_MS = 20;

interface Asked {
  readonly resolve: (reply: never) => void;
  readonly reject: (error: Error) => void;
}

export class LogProcess {
  readonly nodeId: number;
  readonly directory: string;
  /** Known when the program runs; rejects when it ends before. */
  readonly ports: Promise<Ports>;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;

  constructor(nodeId: number, directory: string, nodeArguments: readonly string[]) {
    this.nodeId = nodeId;
    this.directory = directory;
    this.#child = fork(join(import.meta.dirname, "process.js"), [], {
      execArgv: [...nodeArguments],
    });
    this.ports = new Promise((resolve, reject) => {
      this.#child.on("message", (message) => {
        const told = message as FromNode;
        if (told.kind === "listening") resolve(told.ports);
        else this.#receive(told);
      });
      this.#child.once("exit", () => {
        const ended = new Error(`log process ${nodeId} ended`);
        reject(ended);
        for (const asked of this.#asked.values()) asked.reject(ended);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  ask<Kind extends Request["kind"]>(
    request: Extract<Request, { kind: Kind }>,
  ): Promise<Replies[Kind]> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#child.send({ id, request } satisfies ToNode);
    });
  }

  async end(): Promise<void> {
    const exited = once(this.#child, "exit");
    await this.ask({ kind: "stop" });
    this.#child.disconnect();
    await exited;
  }

  #receive(message: Exclude<FromNode, { kind: "listening" }>): void {
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.kind === "failed") asked?.reject(new Error(message.sentence));
    else asked?.resolve(message.reply as never);
  }
}

export class LogGroup {
  readonly members: readonly LogProcess[];

  static async start(
    directory: string,
    retentionMs: number,
    nodeArguments: readonly string[] = [],
  ): Promise<LogGroup> {
    const members = Array.from({ length: GROUP_SIZE }, (_, index) => {
      return new LogProcess(index + 1, join(directory, `node-${index + 1}`), nodeArguments);
    });
    const ports = await Promise.all(
      members.map(async (member) => [member.nodeId, await member.ports] as const),
    );
    await Promise.all(
      members.map((member) =>
        member.ask({
          kind: "start",
          ...{ nodeId: member.nodeId, directory: member.directory, ports, retentionMs },
        }),
      ),
    );
    return new LogGroup(members);
  }

  private constructor(members: readonly LogProcess[]) {
    this.members = members;
  }

  look(): Promise<readonly Look[]> {
    return Promise.all(this.members.map((member) => member.ask({ kind: "look" })));
  }

  async leader(): Promise<LogProcess> {
    const deadlineMs = performance.now() + LEADER_DEADLINE_MS;
    for (;;) {
      const looks = await this.look();
      const leader = this.members[looks.findIndex(({ serves }) => serves)];
      if (leader !== undefined) return leader;
      if (performance.now() > deadlineMs) throw new Error("the group elects no leader");
      await setTimeout(LOOK_INTERVAL_MS);
    }
  }

  /** Waits until all have applied the same slots with nothing incomplete, and answers how many commits each holds. */
  async settle(): Promise<readonly number[]> {
    const deadlineMs = performance.now() + LEADER_DEADLINE_MS;
    for (;;) {
      const looks = await this.look();
      const [first] = looks;
      const even = looks.every(
        ({ appliedUpTo, incomplete }) => appliedUpTo === first?.appliedUpTo && incomplete === 0,
      );
      if (even || performance.now() > deadlineMs) return looks.map(({ committed }) => committed);
      await setTimeout(LOOK_INTERVAL_MS);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()));
  }
}
