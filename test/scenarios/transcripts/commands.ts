/**
 * The commands of a transcript. Each is one line; what it makes the nodes do is what stands below it.
 *
 *   group 3 [windowSlots=1 …]     a new group, with settings of PaxosConfig; the first command
 *   campaign 1                    a node campaigns now, without asking first
 *   elect 1                       the same, and everything arrives; only who leads and what is applied is shown
 *   propose 1 x y                 clients' values, one slot each
 *   choose 1 x y                  the same, and everything arrives; shown as little
 *   deliver [1->2] [phase1a …]    what is on the wire now; over these links, of these kinds, about one slot (`slot=2`) only;
 *                                 `*` is any node
 *   settle                        deliver, and what comes of it, until nothing is on the wire
 *   drop [1->2] [phase1a …]       the same messages are lost
 *   repeat [1->2] [phase1a …]     the same messages are on the wire once more
 *   tick 200ms                    time passes, nothing arrives
 *   run 200ms                     time passes, everything arrives at once; shown as little
 *   cut 1->2 …                    what is sent over these links from now on is lost; `heal` ends it
 *   hang 1, unhang 1              a disk writes nothing until it does
 *   crash 1, restart 1            a process ends, losing what its disk did not write, and starts again
 *   snapshot 1                    a snapshot of all that a node has applied is on its disk
 *   install 1                     the peer's snapshot that a node wanted is on its disk
 *   lose 2 1                      node 2 finds its connection to node 1 broken
 *   show 1 …                      what a node is, promised and holds; without a number all of them
 */
import type { NodeId } from "../../../shared/model/ids.ts";
import type { PaxosConfig } from "../../../coordinator/paxos/state.ts";
import { value, type Matching } from "../../paxos/support/group.ts";
import { TranscriptWorld } from "./world.ts";

const LINK = /^([\d*]+)->([\d*]+)$/;
const SLOT = /^slot=(\d+)$/;
const IS_QUIET = /^(elect|choose|run)$/;
const IS_NEWS = /^\d+ (follows|probes|is candidate|leads|applies|restores|stops)/;

export class Interpreter {
  #world: TranscriptWorld | undefined;

  /** What the command made happen, line by line. */
  perform(command: string): readonly string[] {
    const [name = "", ...words] = command.split(/\s+/);
    if (name === "group") {
      this.#world = new TranscriptWorld(Number(words[0]), settings(words.slice(1)));
      return [];
    }
    const world = this.#world;
    if (world === undefined) throw new Error("a transcript begins with a group");
    perform(world, name, words);
    const lines = world.takeLines();
    return IS_QUIET.test(name) ? lines.filter((line) => IS_NEWS.test(line)) : lines;
  }
}

function settings(words: readonly string[]): Partial<PaxosConfig> {
  const entries = words.map((word): [string, number] => {
    const [name = "", amount] = word.split("=");
    return [name, Number(amount)];
  });
  return Object.fromEntries(entries);
}

function perform(world: TranscriptWorld, name: string, words: readonly string[]): void {
  const node = Number(words[0]);
  switch (name) {
    case "campaign":
      world.input(node, { kind: "campaign" });
      return;
    case "elect":
      world.input(node, { kind: "campaign" });
      while (world.deliver(() => true) > 0);
      return;
    case "propose":
    case "choose":
      for (const word of words.slice(1)) world.input(node, { kind: "propose", value: value(word) });
      while (name === "choose" && world.deliver(() => true) > 0);
      return;
    case "deliver":
      expectSome(world.deliver(matching(words)));
      return;
    case "settle":
      while (world.deliver(() => true) > 0);
      return;
    case "drop":
      expectSome(world.drop(matching(words)).length);
      return;
    case "repeat":
      expectSome(world.repeat(matching(words)));
      return;
    case "tick":
    case "run":
      world.pass(Number.parseInt(words[0] ?? "", 10), name === "run");
      return;
    case "show":
      for (const each of words.length > 0 ? words.map(Number) : world.nodes) world.show(each);
      return;
    default:
      performOnMachines(world, name, words);
  }
}

function performOnMachines(world: TranscriptWorld, name: string, words: readonly string[]): void {
  const node = Number(words[0]);
  switch (name) {
    case "cut":
      for (const word of words) world.cut(...linkOf(world, word));
      return;
    case "heal":
      world.heal();
      return;
    case "lose":
      world.input(node, { kind: "peerLost", node: Number(words[1]) as NodeId });
      return;
    case "hang":
      world.hang(node);
      return;
    case "snapshot":
      world.snapshot(node);
      return;
    case "install":
      world.install(node);
      return;
    case "unhang":
      world.unhang(node);
      return;
    case "crash":
      world.crash(node);
      return;
    case "restart":
      world.restart(node);
      return;
    default:
      throw new Error(`no such command: ${name}`);
  }
}

/** A transcript that speaks of messages which are not there is a mistake. */
function expectSome(count: number): void {
  if (count === 0) throw new Error("no such message is on the wire");
}

function linkOf(world: TranscriptWorld, word: string): [number, number] {
  const [, from, to] = LINK.exec(word) ?? [];
  if (!world.nodes.includes(Number(from)) || !world.nodes.includes(Number(to))) {
    throw new Error(`no such link: ${word}`);
  }
  return [Number(from), Number(to)];
}

function matching(words: readonly string[]): Matching {
  const links = words.flatMap((word) => {
    const match = LINK.exec(word);
    return match === null ? [] : [{ from: match[1], to: match[2] }];
  });
  const slots = words.flatMap((word) => SLOT.exec(word)?.[1] ?? []);
  const kinds = words.filter((word) => !LINK.test(word) && !SLOT.test(word));
  const fits = (wanted: string | undefined, node: number): boolean =>
    wanted === "*" || Number(wanted) === node;
  return ({ from, to, message }) =>
    (links.length === 0 || links.some((link) => fits(link.from, from) && fits(link.to, to))) &&
    (kinds.length === 0 || kinds.includes(message.kind)) &&
    (slots.length === 0 || ("slot" in message && slots.includes(String(message.slot))));
}
