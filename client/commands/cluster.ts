/** `synod status`, `members`, `shards list`, `shards check`: the cluster as its coordinators see it. */
import type { Command } from "commander";
import type { ClusterAnswer } from "../../shared/model/answers.ts";
import type { Act, CommandContext } from "./context.ts";
import { EXIT, FoundWrong } from "./failure.ts";
import { examples } from "./help.ts";

const PROBE_DEADLINE_MS = 2_000;

export function addClusterCommands(program: Command, act: Act): void {
  program
    .command("status")
    .description("tell who leads, how far the decision log is, and whether every shard is reached")
    .addHelpText("after", examples("synod status", "synod status --json | jq .appliedUpTo"))
    .action((_, command: Command) => act(command, showStatus));
  program
    .command("members")
    .description("ask every coordinator for itself")
    .addHelpText("after", examples("synod members"))
    .action((_, command: Command) => act(command, showMembers));
  const shards = program.command("shards").description("the databases behind the cluster");
  shards
    .command("list")
    .description("list the shards as one coordinator sees them")
    .addHelpText("after", examples("synod shards list"))
    .action((_, command: Command) => act(command, listShards));
  shards
    .command("check")
    .description(
      "ask every coordinator whether every shard's participant is connected; exit code 1 if one is not",
    )
    .addHelpText("after", examples("synod shards check && echo all is well"))
    .action((_, command: Command) => act(command, checkShards));
}

async function showStatus({
  synod,
  output,
  json,
  deadlineMs,
  signal,
}: CommandContext): Promise<void> {
  const view = await synod.cluster({ deadlineMs, signal });
  if (json) output.json(view);
  else output.facts(statusRows(view, output));
  if (view.leader === null || !view.serving) {
    throw new FoundWrong(
      "nobody leads",
      "see which coordinators run: synod members",
      EXIT.unavailable,
    );
  }
}

function statusRows(
  view: ClusterAnswer,
  output: CommandContext["output"],
): readonly (readonly [string, string])[] {
  const { leader, members, ballot, chosenUpTo, appliedUpTo, inFlight, shards, incidents } = view;
  const url = members.find(({ id }) => id === leader)?.url ?? "";
  const reach = shards.map(({ shard, reachable }) =>
    reachable ? shard : output.paint("red", `${shard} (not reached)`),
  );
  const leads = leader === null ? output.paint("red", "nobody") : `node ${leader}  ${url}`;
  return [
    ["asked", `node ${view.node}`],
    ["leader", leads],
    ["ballot", `${ballot.round}, of node ${ballot.node ?? "-"}`],
    ["log", `chosen up to ${chosenUpTo}, applied up to ${appliedUpTo}`],
    ["in flight", String(inFlight)],
    ["shards", reach.join(", ")],
    ["incidents", incidents.length === 0 ? "none" : output.paint("red", String(incidents.length))],
    ...incidents.map(({ shard, sentence }) => ["", `${shard}: ${sentence}`] as const),
  ];
}

interface MemberView {
  readonly id: number;
  readonly url: string;
  readonly view: ClusterAnswer | undefined;
  readonly why: string;
}

/** Each for itself. A token goes only to addresses that were given. */
async function askMembers(context: CommandContext): Promise<readonly MemberView[]> {
  const { synod, endpoints, hasToken, deadlineMs, signal } = context;
  const { members } = await synod.cluster({ deadlineMs, signal });
  return Promise.all(
    members.map(async ({ id, url }): Promise<MemberView> => {
      if (hasToken && !endpoints.includes(url)) {
        return { id, url, view: undefined, why: "not asked: it is not among the endpoints" };
      }
      const options = {
        endpoint: url,
        signal,
        deadlineMs: Math.min(deadlineMs, PROBE_DEADLINE_MS),
      };
      return synod.cluster(options).then(
        (view) => ({ id, url, view, why: "" }),
        () => ({ id, url, view: undefined, why: "does not answer" }),
      );
    }),
  );
}

async function showMembers(context: CommandContext): Promise<void> {
  const { output, json } = context;
  const members = await askMembers(context);
  const rows = members.map(({ id, url, view, why }) => {
    const role = view?.members.find((member) => member.id === id)?.role ?? null;
    const { leader = null, appliedUpTo = null } = view ?? {};
    return { id, url, answers: view !== undefined, role, leader, appliedUpTo, why };
  });
  if (json) {
    output.json(rows);
  } else {
    const lines = rows.map(({ id, url, role, leader, appliedUpTo, why }) => {
      const state = role ?? output.paint("red", why);
      return [String(id), url, state, String(leader ?? ""), String(appliedUpTo ?? "")];
    });
    output.table(["node", "address", "role", "follows", "applied up to"], lines);
  }
}

async function listShards({
  synod,
  output,
  json,
  deadlineMs,
  signal,
}: CommandContext): Promise<void> {
  const { shards } = await synod.cluster({ deadlineMs, signal });
  if (json) output.json(shards);
  else
    output.table(
      ["shard", "reached"],
      shards.map(({ shard, reachable }) => [shard, yesNo(reachable)]),
    );
}

async function checkShards(context: CommandContext): Promise<void> {
  const { output, json } = context;
  const members = await askMembers(context);
  const findings = members.flatMap(({ id, view }) =>
    (view?.shards ?? []).map(({ shard, reachable }) => ({ shard, node: id, reachable })),
  );
  if (json) {
    output.json(findings);
  } else {
    const rows = findings.map(({ shard, node, reachable }) => {
      return [shard, String(node), reachable ? "yes" : output.paint("red", "no")];
    });
    output.table(["shard", "coordinator", "reached"], rows);
  }
  const silent = members.filter(({ view }) => view === undefined);
  if (findings.some(({ reachable }) => !reachable)) {
    const next = "see whether the participant and its database run, and what their logs say";
    throw new FoundWrong("not every coordinator reaches every shard", next);
  }
  if (silent.length > 0) {
    const nodes = silent.map(({ id }) => `node ${id}`).join(", ");
    throw new FoundWrong(`not every coordinator answers: ${nodes}`, "see which run: synod members");
  }
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
