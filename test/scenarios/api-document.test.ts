import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ROUTES } from "../../coordinator/api/openapi/routes.ts";
import { ERROR_CODES, type ErrorCode, SynodError } from "../../shared/model/errors.ts";
import { checkerOf, type ApiDocument } from "../support/api-document.ts";
import { get, startApiNode, stopApiNodes, TRANSFER, TwinGroup } from "../support/api-node.ts";

afterEach(stopApiNodes);

async function documentOf(url: string): Promise<ApiDocument> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as ApiDocument;
}

/** The validator is an ES module, which Jest cannot load. */
function objectionTo(document: object): string {
  const program = join(import.meta.dirname, "../support/programs/validate-api-document.ts");
  const options = { input: JSON.stringify(document), encoding: "utf8" } as const;
  return spawnSync(process.execPath, ["--import", "tsx", program], options).stderr;
}

test("the document is valid OpenAPI 3.1, and names every route once", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const document = await documentOf(url);
  expect(document.openapi).toBe("3.1.0");
  expect(objectionTo(document)).toBe("");
  expect(objectionTo({ ...document, openapi: "3.1.0", paths: { "no-slash": {} } })).not.toBe("");
  const named = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(named.sort()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
});

test("the document tells where a token is shown, so that the page can ask for it", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const document = (await documentOf(url)) as unknown as {
    security: unknown;
    components: { securitySchemes: unknown };
    paths: Record<string, Record<string, { security?: unknown }>>;
  };
  expect(document.security).toEqual([{ token: [] }, {}]);
  expect(document.components.securitySchemes).toMatchObject({
    token: { type: "http", scheme: "bearer" },
  });
  const withoutToken = Object.entries(document.paths).filter(([, methods]) =>
    Object.values(methods).some(({ security }) => security !== undefined),
  );
  expect(withoutToken.map(([path]) => path)).toEqual(["/livez", "/readyz"]);
});

test("what a request may hold is what is checked: unknown fields are refused", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const { components } = (await documentOf(url)) as unknown as {
    components: { schemas: Record<string, Record<string, unknown>> };
  };
  const { TransactionRequest: request, Operation: operation } = components.schemas;
  expect(request).toMatchObject({ additionalProperties: false, required: ["operations"] });
  expect(operation).toMatchObject({
    additionalProperties: false,
    required: ["shard"],
    oneOf: [{ required: ["sql"] }, { required: ["statement"] }],
    properties: {
      sql: { maxLength: 8192 },
      params: { items: { $ref: "#/components/schemas/Param" } },
    },
  });
});

const OF_OTHER_ROUTES: ReadonlySet<ErrorCode> = new Set([
  ...(["not-found", "method-not-allowed", "sequence-conflict", "transaction-failed"] as const),
  ...(["transaction-expired", "already-committed", "too-many-open"] as const),
]);

test.each(ERROR_CODES)("a transaction that ends with %s answers as documented", async (code) => {
  const group = new TwinGroup();
  const { url } = await startApiNode({ group });
  const undocumented = checkerOf(await documentOf(url));
  group.duringSubmit = () => {
    throw new SynodError(code, "a sentence", { shard: "s1", transactionId: "1-1-1-abcdefgh" });
  };
  const response = await fetch(`${url}/v1/transactions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(TRANSFER),
  });
  const { status, headers } = response;
  const told = { status, headers, text: await response.text() };
  expect(undocumented("/v1/transactions", "post", told)).toEqual(
    OF_OTHER_ROUTES.has(code) ? [expect.stringMatching(/is not documented$/)] : [],
  );
});

test("an answer that is not documented is noticed", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const undocumented = checkerOf(await documentOf(url));
  const headers = new Headers({ "content-type": "application/json" });
  const told = { status: 200, headers, text: '{"alive":true,"more":1}' };
  expect(undocumented("/livez", "get", told)).toEqual([" must NOT have additional properties"]);
  expect(undocumented("/livez", "get", { ...told, status: 418 })).toHaveLength(1);
  expect(undocumented("/livez", "post", told)).toHaveLength(1);
});

test("the page in the browser loads from this node alone", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const page = await fetch(`${url}/docs`);
  const html = await page.text();
  expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'self';/);
  expect(html).not.toMatch(/https?:|\/\/|<script>|<style|style=|javascript:| on[a-z]+=/);
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
  expect(loaded).toHaveLength(4);
  for (const path of loaded) {
    const asset = await fetch(url + path);
    expect([path, asset.status]).toEqual([path, 200]);
    expect((await asset.arrayBuffer()).byteLength).toBeGreaterThan(50);
    expect(asset.headers.get("x-content-type-options")).toBe("nosniff");
  }
  const start = await (await fetch(`${url}/docs/start.js`)).text();
  expect(start).toContain('url: "/openapi.json"');
  expect(start).toContain("validatorUrl: null");
  expect(start).not.toMatch(/https?:/);
});

test.each(["package.json", "..%2Fpackage.json", "swagger-ui.js"])(
  "nothing else of the package is served: %s",
  async (name) => {
    const { url } = await startApiNode({ group: new TwinGroup() });
    expect(await get(url, `/docs/${name}`)).toMatchObject({
      status: 404,
      body: { code: "not-found" },
    });
  },
);
