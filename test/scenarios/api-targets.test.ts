/** However a request spells its target: what nodes ask each other stays out of reach of everybody else. */
import { Clients, hashOf } from "../../coordinator/api/access/clients.ts";
import { Gate } from "../../coordinator/api/access/gate.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { CLUSTER_HEADER, ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { startApiNode, stopApiNodes, TwinGroup } from "../support/api-node.ts";
import { rawRequest, type RawAnswer } from "../support/raw-request.ts";

const secret = new ClusterSecret("the secret of the cluster under test");
const clients = new Clients([{ id: "ops", role: "operator", tokens: [hashOf("ops-1")] }]);
const INQUIRY = JSON.stringify({ shard: "s1", branches: [{ carrierId: "1-1-1", xid: "7" }] });
const PATH = "/internal/v1/outcomes";
const TOKEN = "Authorization: Bearer ops-1";

let url: string;
beforeEach(async () => {
  const gate = new Gate({ clients, secret, clock: systemClock });
  ({ url } = await startApiNode({ group: new TwinGroup(), gate, secret }));
});
afterEach(stopApiNodes);

const inquire = (target: string, proof = TOKEN): Promise<RawAnswer> =>
  rawRequest(
    url,
    [`POST ${target} HTTP/1.1`, "Host: node", "Content-Type: application/json", proof],
    INQUIRY,
  );

test("the inquiry that the others imitate is answered to a node", async () => {
  const { status, text } = await inquire(PATH, `${CLUSTER_HEADER}: ${secret.httpToken}`);
  expect([status, text]).toEqual([200, expect.stringContaining("outcomes")]);
});

test.each([
  ["in absolute form", `http://node${PATH}`],
  ["in absolute form, of another scheme", `x:${PATH}`],
  ["with backslashes and a fragment", "/internal\\v1\\outcomes#"],
  ["with a fragment", `${PATH}#`],
  ["with a path that is hidden before a fragment", `/livez#${PATH}`],
  ["without a slash", "internal/v1/outcomes"],
  ["with an asterisk", "*"],
])("a target %s is refused before anything reads it", async (_, target) => {
  expect((await inquire(target)).status).toBe(400);
});

test.each([
  ["with two slashes in front", `/${PATH}`, 404],
  ["with two slashes within", "/internal//v1/outcomes", 401],
  ["with an encoded letter", "/%69nternal/v1/outcomes", 404],
  ["with an encoded slash", "/internal%2Fv1/outcomes", 404],
  ["with an encoded slash in front", "/%2Finternal/v1/outcomes", 404],
  ["with dots", "/v1/../internal/v1/outcomes", 404],
  ["with a dot", "/./internal/v1/outcomes", 404],
  ["in capitals", PATH.toUpperCase(), 404],
  ["in capitals at the end", "/internal/V1/outcomes", 401],
  ["with a slash behind", `${PATH}/`, 401],
  ["with a query", `${PATH}?x=/livez`, 401],
  ["with a semicolon", "/internal;/v1/outcomes", 404],
])("a target %s opens nothing to a client", async (_, target, expected) => {
  const { status, text } = await inquire(target);
  expect(text).not.toContain('"outcomes"');
  expect(status).toBe(expected);
});

test.each(["/livez/", "/LIVEZ", "//livez", "/livez/../v1/cluster", "/livez%2F"])(
  "what looks like an open path (%s) is not one",
  async (target) => {
    const { status } = await rawRequest(url, [`GET ${target} HTTP/1.1`, "Host: node"]);
    expect(status).toBe(401);
  },
);
