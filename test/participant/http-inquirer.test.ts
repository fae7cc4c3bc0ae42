import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createHttpInquirer, type HttpInquirer } from "../../participant/api/http-inquirer.ts";
import { carrierId, type Xid } from "../../shared/model/ids.ts";
import type { OutcomeInquiry } from "../../shared/model/inquiry.ts";
import { ballotOf, SHARD } from "./node-fixture.ts";

const INQUIRY: OutcomeInquiry = {
  shard: SHARD,
  branches: [{ carrierId: carrierId(ballotOf(1), 1), xid: "701" as Xid }],
};

const servers: Server[] = [];
const inquirers: HttpInquirer[] = [];

afterEach(async () => {
  for (const inquirer of inquirers.splice(0)) inquirer.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(handle: RequestListener): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (body: unknown, status = 200): Promise<string> =>
  serve((request, response) => {
    request.resume();
    response.writeHead(status, { "Content-Type": "application/json", Location: "/elsewhere" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });

function inquirer(...urls: string[]): HttpInquirer {
  const created = createHttpInquirer(urls, 0);
  inquirers.push(created);
  return created;
}

test("the question goes to the path of outcomes as JSON, and the answer comes back", async () => {
  let heard: unknown;
  const url = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      heard = { method: request.method, url: request.url, body };
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ outcomes: [{ kind: "committed", xid: "701" }] }));
    });
  });
  expect(await inquirer(url).ask(INQUIRY)).toEqual([{ kind: "committed", xid: "701" }]);
  expect(heard).toEqual({ method: "POST", url: "/internal/v1/outcomes", body: INQUIRY });
});

test("coordinators are asked in turn", async () => {
  const asked = inquirer(
    await answering({ outcomes: [{ kind: "undecided" }] }),
    await answering({ outcomes: [{ kind: "aborted" }] }),
  );
  expect(asked.coordinators).toBe(2);
  const kinds: string[] = [];
  for (let turn = 0; turn < 4; turn += 1) kinds.push((await asked.ask(INQUIRY))[0]!.kind);
  expect(kinds).toEqual(["undecided", "aborted", "undecided", "aborted"]);
});

test.each([
  ["is of another length", { outcomes: [] }, 200],
  ["is not of the protocol", { outcomes: [{ kind: "perhaps" }] }, 200],
  ["is not JSON", "<html>aborted</html>", 200],
  ["is an error", { outcomes: [{ kind: "aborted" }] }, 500],
  ["leads elsewhere", { outcomes: [{ kind: "aborted" }] }, 307],
  ["is too large", { outcomes: [{ kind: "aborted" }], padding: "x".repeat(300_000) }, 200],
])("an answer that %s is none", async (_, body, status) => {
  await expect(inquirer(await answering(body, status)).ask(INQUIRY)).rejects.toThrow();
});

test("a coordinator that says nothing is given up, and one that is away as well", async () => {
  const silent = await serve((request) => {
    request.resume();
  });
  await expect(inquirer(silent).ask(INQUIRY)).rejects.toThrow();
  await expect(inquirer("http://127.0.0.1:1").ask(INQUIRY)).rejects.toThrow();
});

test("no proxy of the environment comes between", async () => {
  const url = await answering({ outcomes: [{ kind: "undecided" }] });
  const before = process.env["http_proxy"];
  process.env["http_proxy"] = "http://127.0.0.1:1";
  try {
    expect(await inquirer(url).ask(INQUIRY)).toEqual([{ kind: "undecided" }]);
  } finally {
    if (before === undefined) delete process.env["http_proxy"];
    else process.env["http_proxy"] = before;
  }
});
