/** The program of a log process. It does what its parent asks, and ends when its parent does. */
import { assert } from "../../shared/model/assert.ts";
import { listenHttp } from "../../shared/runtime/http.ts";
import { quantile, runLoad, type Client } from "../load.ts";
import { BareProbe, serveEcho } from "./bare-costs.ts";
import { HOST, LogNode } from "./log-node.ts";
import type { FromNode, LogCosts, Replies, Request, StartRequest, ToNode } from "./protocol.ts";

const listen = (): ReturnType<typeof listenHttp> =>
  listenHttp(
    (_, response) => {
      response.writeHead(404).end();
    },
    { host: HOST, port: 0 },
  );
const [peerListener, echoListener] = await Promise.all([listen(), listen()]);
serveEcho(echoListener.server);

let started: LogNode | undefined;
let startedWith: StartRequest | undefined;
let probe: BareProbe | undefined;

function node(): LogNode {
  assert(started !== undefined, "a log process is started first");
  return started;
}

async function start(request: StartRequest): Promise<null> {
  startedWith = request;
  started = new LogNode(request, peerListener.server);
  await started.start();
  return null;
}

async function openProbe(): Promise<BareProbe> {
  assert(startedWith !== undefined, "a log process is started first");
  const { nodeId, ports, directory } = startedWith;
  const other = ports.find(([id]) => id !== nodeId);
  assert(other !== undefined, "a group has more than one process");
  return BareProbe.open(directory, other[1].echo);
}

async function measureLog(proposers: number, durationMs: number): Promise<LogCosts> {
  const proposer: Client = {
    transact: () =>
      node()
        .decide()
        .then(() => "committed" as const),
  };
  const all = Array.from({ length: proposers }, () => proposer);
  const slotsBefore = node().look().appliedUpTo;
  const { committed, elapsedMs, latenciesMs } = await runLoad(all, durationMs);
  return {
    perSecond: committed / (elapsedMs / 1_000),
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    slots: node().look().appliedUpTo - slotsBefore,
    decisions: committed,
  };
}

async function decide(transactions: number, proposers: number, stepMs: number): Promise<null> {
  node().passTime(stepMs);
  let left = transactions;
  const propose = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await node().decide();
    }
  };
  await Promise.all(Array.from({ length: proposers }, propose));
  return null;
}

async function perform(request: Request): Promise<Replies[Request["kind"]]> {
  switch (request.kind) {
    case "start":
      return start(request);
    case "measureBare":
      probe ??= await openProbe();
      return probe.measure(request.durationMs);
    case "measureLog":
      return measureLog(request.proposers, request.durationMs);
    case "decide":
      return decide(request.transactions, request.proposers, request.stepMs);
    case "look":
      return node().look();
    case "stop":
      await node().stop();
      return null;
  }
}

function tell(message: FromNode): void {
  process.send?.(message);
}

process.on("message", ({ id, request }: ToNode) => {
  perform(request).then(
    (reply) => {
      tell({ kind: "reply", id, reply });
    },
    (error: unknown) => {
      tell({ kind: "failed", id, sentence: String(error) });
    },
  );
});
process.on("disconnect", () => process.exit());
tell({ kind: "listening", ports: { peer: peerListener.port, echo: echoListener.port } });
