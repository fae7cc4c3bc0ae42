/** Sends fuzzed requests to a running cluster and judges every answer by the API document. */
import { Agent, request as httpRequest } from "node:http";
import fc from "fast-check";
import pg from "pg";
import { seedAccounts } from "../../demo/accounts.ts";
import type { LocalCluster } from "../../demo/local-cluster.ts";
import { awaitLeader } from "../../demo/transfers/leader-kill.ts";
import { type ApiDocument, checkerOf, type Told } from "../support/api-document.ts";
import { eventually } from "../support/wait.ts";
import { type FuzzedDocument, type FuzzRequest, requestsOf } from "./requests.ts";

export interface FuzzOptions {
  readonly requests: number;
  readonly seed: number;
}

export interface FuzzReport extends FuzzOptions {
  readonly byStatus: Readonly<Record<string, number>>;
  readonly byCode: Readonly<Record<string, number>>;
  /** What must not be, one sentence each; at most MAX_FINDINGS are told. */
  readonly findings: readonly string[];
}

const CONCURRENCY = 16;
const KEPT_IDS = 64;
const MAX_FINDINGS = 20;
const MAX_TOLD_CHARACTERS = 500;
const START_BALANCE = 1_000_000;
/** A branch whose participant is slow to be told is told again within seconds. */
const SETTLING_MS = 30_000;
const ANSWER_TIMEOUT_MS = 90_000;
/** As shared/runtime/http.ts discards. */
const CUT_OFF_BYTES = 1024 * 1024;
const LEADER_DEADLINE_MS = 30_000;

export async function fuzz(cluster: LocalCluster, options: FuzzOptions): Promise<FuzzReport> {
  await awaitLeader(cluster, LEADER_DEADLINE_MS);
  const run = await FuzzRun.prepare(cluster);
  const pids = cluster.coordinators.map(({ pid }) => pid);
  const requests = fc.sample(requestsOf(run.document), {
    ...{ numRuns: options.requests, seed: options.seed },
  });
  await run.sendAll(requests);
  await run.inspect(pids);
  const { findings, byStatus, byCode } = run;
  return { ...options, byStatus, byCode, findings: findings.slice(0, MAX_FINDINGS) };
}

class FuzzRun {
  readonly document: FuzzedDocument & ApiDocument;
  readonly findings: string[] = [];
  readonly byStatus: Record<string, number> = {};
  readonly byCode: Record<string, number> = {};
  readonly #cluster: LocalCluster;
  readonly #urls: readonly string[];
  readonly #ids: string[] = [];
  readonly #undocumented: ReturnType<typeof checkerOf>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });

  private constructor(cluster: LocalCluster, document: FuzzedDocument & ApiDocument) {
    this.#cluster = cluster;
    this.#urls = cluster.coordinators.map(({ url }) => url);
    this.document = document;
    this.#undocumented = checkerOf(document);
  }

  static async prepare(cluster: LocalCluster): Promise<FuzzRun> {
    for (const { shard, postgresUrl: url } of cluster.participants) {
      const accounts = ["payer", "payee"].map((id) => ({ id, balance: START_BALANCE }));
      await seedAccounts({ shard, url }, accounts);
      await query(url, "create table if not exists scribbles (id text primary key, text text)");
      await query(url, "create table if not exists scribbled_accounts as select * from accounts");
    }
    const answer = await fetch(`${cluster.coordinators[0]!.url}/openapi.json`);
    return new FuzzRun(cluster, (await answer.json()) as FuzzedDocument & ApiDocument);
  }

  async sendAll(requests: readonly FuzzRequest[]): Promise<void> {
    const queue = requests.entries();
    const worker = async (): Promise<void> => {
      for (const [index, request] of queue) await this.#sendOne(request, index);
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    this.#agent.destroy();
  }

  async #sendOne(request: FuzzRequest, index: number): Promise<void> {
    const url = this.#urls[index % this.#urls.length]!;
    const id = this.#ids[request.idIndex % Math.max(1, this.#ids.length)] ?? "1-1-1-az05k0d3m9x2";
    const sent = { ...request, path: request.path.replace("{id}", id) };
    let told: Told;
    try {
      told = await send(url, sent, this.#agent);
    } catch (error) {
      // Whoever goes on sending so much may be cut off before the refusal has reached him.
      if (Buffer.byteLength(sent.body ?? "") > CUT_OFF_BYTES) this.#count(this.byStatus, "cut off");
      else this.#find(sent, index, `there is no answer: ${String(error)}`);
      return;
    }
    this.#count(this.byStatus, String(told.status));
    for (const sentence of this.#wrongs(sent, told)) this.#find(sent, index, sentence, told);
  }

  #wrongs(request: FuzzRequest, told: Told): readonly string[] {
    if (told.status === 500) return ["it broke something"];
    const type = told.headers.get("content-type") ?? "";
    const { code, id } = this.#noted(told, type);
    if (id !== undefined && told.status < 300) this.#remember(id);
    const method = request.method.toLowerCase();
    const { route } = request;
    const isDocumented = route !== undefined && this.document.paths[route]?.[method] !== undefined;
    if (!isDocumented || code === "method-not-allowed") return strangerWrongs(told, type, method);
    return this.#undocumented(route, method, told);
  }

  #noted({ text }: Told, type: string): { readonly code?: string; readonly id?: string } {
    if (!/json$/.test(type) || text === "") return {};
    const { code, id } = JSON.parse(text) as { code?: string; id?: string };
    if (code !== undefined) this.#count(this.byCode, code);
    return { ...(code !== undefined && { code }), ...(id !== undefined && { id }) };
  }

  #count(counts: Record<string, number>, name: string): void {
    counts[name] = (counts[name] ?? 0) + 1;
  }

  #remember(id: string): void {
    this.#ids.push(id);
    if (this.#ids.length > KEPT_IDS) this.#ids.shift();
  }

  #find({ method, path, headers, body }: FuzzRequest, index: number, what: string, told?: Told) {
    const request = `${method} ${path} ${JSON.stringify(headers)} ${body ?? ""}`;
    const answer = told === undefined ? "" : `\n  answer: ${told.status} ${told.text}`;
    const cut = (text: string): string => text.slice(0, MAX_TOLD_CHARACTERS);
    this.findings.push(`request ${index}: ${what}\n  request: ${cut(request)}${cut(answer)}`);
  }

  /** What must hold when all is said: everybody runs, nothing is prepared, no money is made or lost. */
  async inspect(pids: readonly number[]): Promise<void> {
    const { coordinators, participants } = this.#cluster;
    for (const [index, node] of coordinators.entries()) {
      if (!node.isRunning() || node.pid !== pids[index]) this.findings.push(`${node.name} ended`);
    }
    for (const node of participants) {
      if (!node.isRunning()) this.findings.push(`${node.name} ended`);
    }
    const prepared = async (): Promise<unknown[]> => {
      const lists = participants.map(({ postgresUrl }) => {
        return query(postgresUrl, "select gid from pg_prepared_xacts");
      });
      return (await Promise.all(lists)).flat();
    };
    try {
      const isNone = async (): Promise<boolean> => (await prepared()).length === 0;
      await eventually("no branch is prepared", isNone, SETTLING_MS);
    } catch {
      this.findings.push(`branches are left behind: ${JSON.stringify(await prepared())}`);
    }
    await this.#countMoney();
  }

  async #countMoney(): Promise<void> {
    let sum = 0;
    for (const { postgresUrl } of this.#cluster.participants) {
      const [row] = await query(postgresUrl, "select sum(balance)::float8 as sum from accounts");
      sum += Number(row?.["sum"]);
    }
    const expected = 2 * START_BALANCE * this.#cluster.participants.length;
    if (sum !== expected) this.findings.push(`the accounts hold ${sum}, not ${expected}`);
  }
}

/** Nobody promised this address, or this method of it: it is refused, by a problem. */
function strangerWrongs({ status, text }: Told, type: string, method: string): readonly string[] {
  if (method === "get" && status === 200) return [];
  if (status < 400 || status >= 500) return [`a stranger is told ${status}`];
  if (type !== "application/problem+json") return [`an error is told as ${type || "nothing"}`];
  const { status: said } = JSON.parse(text) as { status?: number };
  return said === status ? [] : ["the problem names another status"];
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** By node:http, which lets more through than fetch does: bodies of GET, odd headers. */
function send(url: string, { method, path, headers, body }: FuzzRequest, agent: Agent) {
  const { hostname, port } = new URL(url);
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  return new Promise<Told>((resolve, reject) => {
    const sent = httpRequest(
      {
        ...{ hostname, port, method, path, agent, timeout: ANSWER_TIMEOUT_MS },
        headers: { ...sendable(headers), ...length },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          const told = Object.entries(response.headersDistinct).map(
            ([name, values]) => [name, values?.join() ?? ""] as [string, string],
          );
          resolve({ status: response.statusCode ?? 0, headers: new Headers(told), text });
        });
        response.on("error", reject);
      },
    );
    sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** What node:http itself would not send is left out. */
function sendable(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const unsendable = /[^\t\x20-\x7e\x80-\xff]/g;
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replace(unsendable, "?")]),
  );
}
