import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type LogLevel } from "../../shared/runtime/logger.ts";

const directory = mkdtempSync(join(tmpdir(), "synod-test-logger-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

let files = 0;

/** A logger and what it has written, which is there as soon as the call returns. */
function logger(level: LogLevel) {
  files += 1;
  const path = join(directory, `${files}.log`);
  const created = createLogger({ service: "coordinator", node: 2 }, level, path);
  const lines = (): Record<string, unknown>[] =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { logger: created, lines };
}

test("a line is written before the call returns, with its fields and the service's", () => {
  const { logger: log, lines } = logger("info");
  log.info({ shard: "s1" }, "up");
  expect(lines()).toMatchObject([{ service: "coordinator", node: 2, shard: "s1", msg: "up" }]);
  expect(Date.parse(String(lines()[0]!["time"]))).toBeGreaterThan(Date.now() - 60_000);
});

test("lines below the level are dropped, and silent drops all", () => {
  const { logger: log, lines } = logger("warn");
  log.debug({}, "debug");
  log.info({}, "info");
  log.warn({}, "warn");
  log.error({}, "error");
  expect(lines().map(({ msg }) => msg)).toEqual(["warn", "error"]);
  const silent = logger("silent");
  silent.logger.error({}, "error");
  expect(silent.lines()).toEqual([]);
});

test("an error is told with its stack and its cause", () => {
  const { logger: log, lines } = logger("info");
  log.error({ error: new Error("outer", { cause: new Error("inner") }) }, "failed");
  const text = JSON.stringify(lines()[0]!["error"]);
  expect(text).toContain("outer");
  expect(text).toContain("inner");
  expect(text).toContain("logger.test");
});

test("credentials are redacted wherever HTTP libraries put them", () => {
  const { logger: log, lines } = logger("info");
  const secret = "Bearer s3cret";
  const error = Object.assign(new Error("refused"), {
    config: { headers: { Authorization: secret } },
  });
  const headers = { authorization: secret, Authorization: secret };
  log.error({ error, ...headers, headers, request: { headers } }, "refused");
  expect(JSON.stringify(lines())).not.toContain("s3cret");
  expect(JSON.stringify(lines())).toContain("[Redacted]");
});
