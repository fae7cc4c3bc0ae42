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

const project = (name, folders, more = {}) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  testEnvironment: "node",
  transform: { "^.+\\.ts$": swc },
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`),
  ...more,
});

export default {
  maxWorkers: 2,
  reporters: ["default", "<rootDir>/test/support/counts-reporter.cjs"],
  testTimeout: 30_000,
  projects: [
    project("unit", [
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
    ]),
    project("simulation", ["simulation"]),
    project("integration", ["integration"]),
    project("end-to-end", ["end-to-end"]),
  ],
};
