/**
 * All checkers of a world, and who is told what: the hosts say what happens on their machines, and after each event every
 * node is looked at. README.md lists the invariants and where each is looked at.
 *
 * A violation is noted, not thrown, wherever it is found within production code: that code may have a use for the exception.
 */
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { CarrierId, NodeId, TransactionId } from "../../../shared/model/ids.ts";
import type { Call } from "../clients/history.ts";
import type { CoordinatorHost, LivingCoordinator, NodeWatch } from "../world/coordinator-host.ts";
import type { Trace } from "../world/trace.ts";
import { AgreementChecker } from "./agreement.ts";
import { Auditor, type EndedBranch, type PreparedBranch, type ShardBooks } from "./audit.ts";
import { ConsensusChecker } from "./consensus.ts";
import { DeadlockChecker, type Party, type TruthfulWait } from "./deadlocks.ts";
import { ReferenceLedger, type Decision } from "./reference-ledger.ts";
import type { Tally } from "./tally.ts";
import { ToldOutcomes } from "./told-outcomes.ts";

export interface CheckersOptions {
  readonly trace: Trace;
  readonly tally: Tally;
  readonly coordinators: () => readonly CoordinatorHost[];
  readonly size: number;
  readonly books: readonly ShardBooks[];
  /** Of all databases, at this moment. */
  readonly waits: () => readonly TruthfulWait[];
  readonly openingTotal: number;
  readonly voidsBelowFloor: boolean;
  readonly onFailure: (error: unknown) => void;
}

export class Checkers implements NodeWatch {
  readonly reference: ReferenceLedger;
  readonly agreement: AgreementChecker;
  readonly auditor: Auditor;
  readonly #consensus: ConsensusChecker;
  readonly #told: ToldOutcomes;
  readonly #deadlocks: DeadlockChecker;
  readonly #options: CheckersOptions;

  constructor(options: CheckersOptions) {
    this.#options = options;
    this.reference = new ReferenceLedger(options.voidsBelowFloor);
    this.auditor = new Auditor(this.reference, options.books, options.openingTotal);
    this.#consensus = new ConsensusChecker(majority(options.size));
    this.#told = new ToldOutcomes(this.reference);
    this.#deadlocks = new DeadlockChecker(options.waits);
    this.agreement = new AgreementChecker(
      this.reference,
      (decision) => {
        this.#decided(decision);
      },
      (machine, slots) => {
        options.trace.line(machine, `caught up ${slots} slots by snapshot`);
        options.tally.count("caught up by snapshot");
      },
    );
  }

  durable(node: NodeId, records: readonly DurableRecord[]): void {
    this.#guard(() => {
      this.#consensus.durable(node, records);
    });
  }

  sending({ self, process }: LivingCoordinator, message: PeerMessage): void {
    this.#guard(() => {
      this.#consensus.sending(self, process.name, message);
    });
  }

  /** The node may have applied half of what it has just learned, so its ledger is not looked at. */
  crashing({ machine }: CoordinatorHost, { node, process }: LivingCoordinator): void {
    this.#guard(() => {
      this.agreement.observeChosen(machine, node);
    });
    this.#consensus.ended(process.name);
  }

  branchPrepared(branch: PreparedBranch): void {
    this.auditor.branchPrepared(branch);
  }

  branchEnded(branch: EndedBranch): void {
    this.#guard(() => {
      this.auditor.branchEnded(branch);
    });
  }

  acknowledged(call: Call, pendingShards: readonly string[]): void {
    this.#guard(() => {
      this.auditor.acknowledged(call, pendingShards);
    });
  }

  toldOfCarrier(by: string, id: CarrierId, outcome: string): void {
    this.#told.ofCarrier(by, id, outcome);
  }

  toldOfTransaction(by: string, id: TransactionId, outcome: string): void {
    this.#told.ofTransaction(by, id, outcome);
  }

  waitBegan(waiter: Party): void {
    this.#deadlocks.waitBegan(waiter);
  }

  victim(carrierId: CarrierId): void {
    this.#guard(() => {
      this.#deadlocks.victim(carrierId);
    });
  }

  /** After each event, at whatever has moved. Throws. */
  observe(): void {
    for (const { machine, life } of this.#options.coordinators()) {
      if (life === undefined) continue;
      const { node, process, self } = life;
      const { state } = node.replica;
      if (state !== undefined) this.#consensus.observe(self, process.name, state);
      this.agreement.observe(machine, node);
    }
    this.#told.judge();
  }

  #decided({ outcome, command }: Decision): void {
    const { trace, tally, coordinators } = this.#options;
    trace.line("log", `${command.carrierId} is ${outcome}`);
    tally.count(`decided ${outcome}`);
    if (command.members.length > 1) tally.count(`decided ${outcome}, with others in one carrier`);
    const isOld = coordinators().some(
      ({ node }) => (node?.replica.state?.promised ?? 0) > command.ballot,
    );
    if (isOld) tally.count(`commit chosen under a later leader, ${outcome}`);
    this.auditor.decided(command);
    if (outcome === "void") return;
    this.auditor.carrierCommitted(command);
    this.#told.committed(command);
  }

  #guard(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
