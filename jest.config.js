/**
 * Tests run as CommonJS through swc (no type check here: `npm run check:types` does that), so Jest needs no
 * experimental flag; production runs the ES modules in dist/, which test/end-to-end starts for real.
 */
const swc = [
  "@swc/jest",
  {
    jsc: { parser: { syntax: "typescript" }, target: "es2022" },
    module: { type: "commonjs" },
    sourceMaps: "inline",
  },
];

/**
 * Found faster than through the sandbox's global object: what explores and simulates uses them by the million, and needs a third
 * less time. A name that some dependency declares for itself (`Buffer`, `Promise`) cannot be among them.
 */
const fastGlobals = {
  sandboxInjectedGlobals: ["Array", "BigInt", "JSON", "Map", "Math", "Number", "Object", "Set"],
};

const project = (name, folders, more = {}) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  testEnvironment: "node",
  transform: { "^.+\\.ts$": swc },
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`),
  ...more,
});

const withPostgres = {
  globalSetup: "<rootDir>/test/support/postgres-template.ts",
  globalTeardown: "<rootDir>/test/support/postgres-template-removal.ts",
};

export default {
  maxWorkers: 2,
  reporters: ["default", "<rootDir>/test/support/counts-reporter.cjs"],
  // A bound for what hangs, not for what is slow: tests that promise a duration measure it.
  testTimeout: 120_000,
  projects: [
    project(
      "unit",
      [
        "paxos",
        "log",
        "replication",
        "transactions",
        "participant",
        "shared",
        "scenarios",
        "mutations",
        "client",
        "house",
        "histories",
      ],
      fastGlobals,
    ),
    project("simulation", ["simulation"], fastGlobals),
    project("integration", ["integration"], withPostgres),
    project("end-to-end", ["end-to-end"], withPostgres),
  ],
};
