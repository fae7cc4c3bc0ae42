/**
 * A participant's inquiry: one coordinator after the other, and whoever is asked asks the leader about what only the leader
 * can tell, as coordinator/api/outcomes.ts does.
 */
import type { OutcomeInquirer } from "../../../participant/branches/outcome-inquirer.ts";
import type {
  BranchOutcome,
  OutcomeAnswer,
  OutcomeInquiry,
} from "../../../shared/model/inquiry.ts";
import type { CarrierId } from "../../../shared/model/ids.ts";
import type { CoordinatorHost, LivingCoordinator } from "./coordinator-host.ts";
import type { Incarnation } from "./incarnation.ts";
import type { RemoteCalls } from "./remote-call.ts";

const TIMEOUT_MS = 2_000;

export class SimulatedInquirer implements OutcomeInquirer {
  readonly #hosts: readonly CoordinatorHost[];
  readonly #calls: RemoteCalls;
  readonly #machine: string;
  readonly #process: Incarnation;
  readonly #onTold: (by: string, id: CarrierId, outcome: string) => void;
  #turn: number;

  /** `onTold`: every answer, whether or not it arrives. */
  constructor(
    hosts: readonly CoordinatorHost[],
    calls: RemoteCalls,
    machine: string,
    process: Incarnation,
    firstTurn: number,
    onTold: (by: string, id: CarrierId, outcome: string) => void,
  ) {
    this.#onTold = onTold;
    this.#hosts = hosts;
    this.#calls = calls;
    this.#machine = machine;
    this.#process = process;
    this.#turn = firstTurn;
  }

  get coordinators(): number {
    return this.#hosts.length;
  }

  async ask(inquiry: OutcomeInquiry): Promise<readonly BranchOutcome[]> {
    this.#turn += 1;
    const host = this.#hosts[this.#turn % this.#hosts.length];
    if (host === undefined) throw new Error("there are coordinators");
    const answer = await this.#calls.call({
      ...{
        from: this.#machine,
        caller: this.#process,
        to: host.machine,
        timeoutMs: TIMEOUT_MS * 2,
      },
      outlivesCaller: true,
      target: () => host.served(),
      handle: (living) => this.#answer(living, inquiry),
    });
    if (answer.kind !== "answered") throw new Error(`${host.machine} does not answer`);
    return answer.value.outcomes;
  }

  async #answer(
    { node, host }: LivingCoordinator,
    inquiry: OutcomeInquiry,
  ): Promise<OutcomeAnswer> {
    const here = this.#outcomes(host, node, inquiry);
    const { leader } = node.gateway.view();
    const isFinal = here.outcomes.every(({ kind }) => kind !== "undecided");
    const target = this.#hosts.find(({ self }) => self === leader && self !== host.self);
    if (isFinal || target === undefined) return here;
    const answer = await this.#calls.call({
      ...{ from: host.machine, caller: host.process, to: target.machine, timeoutMs: TIMEOUT_MS },
      outlivesCaller: true,
      target: () => target.served(),
      handle: (leading) => Promise.resolve(this.#outcomes(leading.host, leading.node, inquiry)),
    });
    return answer.kind === "answered" ? answer.value : here;
  }

  #outcomes(
    { machine }: CoordinatorHost,
    { gateway }: LivingCoordinator["node"],
    inquiry: OutcomeInquiry,
  ): OutcomeAnswer {
    const answer = gateway.outcomes(inquiry);
    for (const [index, { carrierId }] of inquiry.branches.entries()) {
      this.#onTold(machine, carrierId, answer.outcomes[index]?.kind ?? "");
    }
    return answer;
  }
}
