/**
 * One request and its answer between machines over connections of their own, as HTTP would: clients' calls, forwarding from
 * follower to leader, a participant's inquiry. A request may outlive its caller, who has hung up or ended before it is read, where
 * rules of the production code see to it that this does no harm. A client's own request may not: no server can tell one that
 * was on its way for so long from one that its client means, so that none gets through is an assumption about connections.
 */
import type { Cancel } from "../../../shared/model/ports.ts";
import type { Process, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";

/** `notReached`: certainly not delivered. `lost`: it may have been. */
export type RemoteAnswer<Value> =
  | { readonly kind: "answered"; readonly value: Value }
  | { readonly kind: "notReached" }
  | { readonly kind: "lost" };

export interface Served<Node> {
  readonly process: Process;
  readonly node: Node;
  /** Calls when the process has ended. */
  onEnd(notify: () => void): Cancel;
}

export interface RemoteCall<Node, Value> {
  readonly from: string;
  /** The caller; undefined for clients, which do not die. */
  readonly caller: Process | undefined;
  readonly to: string;
  readonly target: () => Served<Node> | undefined;
  /** Rejects only for what must never happen. */
  readonly handle: (node: Node) => Promise<Value>;
  readonly timeoutMs: number;
  readonly outlivesCaller: boolean;
}

export class RemoteCalls {
  readonly #scheduler: Scheduler;
  readonly #network: SimulatedNetwork;
  readonly #random: SeededRandom;
  readonly #onFailure: (error: unknown) => void;

  constructor(
    scheduler: Scheduler,
    network: SimulatedNetwork,
    random: SeededRandom,
    onFailure: (error: unknown) => void,
  ) {
    this.#scheduler = scheduler;
    this.#network = network;
    this.#random = random;
    this.#onFailure = onFailure;
  }

  /** Never rejects; never resolves when the caller dies first. */
  call<Node, Value>(call: RemoteCall<Node, Value>): Promise<RemoteAnswer<Value>> {
    const { caller, from, to, timeoutMs, outlivesCaller } = call;
    return new Promise((resolve) => {
      let hasHungUp = false;
      const cancelTimeout = this.#scheduler.after(timeoutMs, caller, () => {
        hasHungUp = true;
        resolve({ kind: "lost" });
      });
      const answer = (value: RemoteAnswer<Value>): void => {
        if (!this.#passes(to, from)) return;
        this.#scheduler.after(this.#network.delayMs(to, from), caller, () => {
          cancelTimeout();
          resolve(value);
        });
      };
      if (!this.#passes(from, to)) return;
      this.#scheduler.after(this.#network.delayMs(from, to), undefined, () => {
        const hasEnded = caller?.alive === false;
        if (outlivesCaller || (!hasHungUp && !hasEnded)) this.#arrive(call, answer);
      });
    });
  }

  #passes(from: string, to: string): boolean {
    const { lossChance } = this.#network.character;
    return !this.#network.isBlocked(from, to) && !this.#random.chance(lossChance / 4);
  }

  #arrive<Node, Value>(
    { target, handle }: RemoteCall<Node, Value>,
    answer: (value: RemoteAnswer<Value>) => void,
  ): void {
    const served = target();
    if (served === undefined) {
      answer({ kind: "notReached" });
      return;
    }
    const { process, node } = served;
    this.#scheduler.after(0, process, () => {
      const forgetEnd = served.onEnd(() => {
        this.#scheduler.after(this.#random.between(0, 200), undefined, () => {
          answer({ kind: "lost" });
        });
      });
      handle(node).then((value) => {
        forgetEnd();
        if (process.alive) answer({ kind: "answered", value });
      }, this.#onFailure);
    });
  }
}
