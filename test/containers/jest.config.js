/** The container suite alone: `npm run test:containers`. It is no project of the ordinary tests, which need no engine. */
import { join } from "node:path";
import ordinary from "../../jest.config.js";

const [{ testEnvironment, transform }] = ordinary.projects;

export default {
  rootDir: join(import.meta.dirname, "..", ".."),
  testEnvironment,
  transform,
  testMatch: ["<rootDir>/test/containers/**/*.test.ts"],
  reporters: ordinary.reporters,
  maxWorkers: 1,
  testTimeout: 180_000,
};
