import js from "@eslint/js";
import tseslint from "typescript-eslint";

/**
 * PURE files: no time, no randomness, no IO, no waiting. The same list is what dependency-cruiser
 * calls pure (.dependency-cruiser.cjs), so a file cannot be pure for one and not for the other.
 */
const pureFiles = [
  "coordinator/paxos/**/*.ts",
  "coordinator/transactions/transaction.ts",
  "coordinator/transactions/answer.ts",
  "coordinator/transactions/command.ts",
  "coordinator/transactions/interactive/machine.ts",
  "coordinator/transactions/ledger/**/*.ts",
  "coordinator/transactions/deadlocks/wait-graph.ts",
  "coordinator/log/wal/codec.ts",
  "coordinator/log/wal/crc32.ts",
  "coordinator/log/wal/recovery.ts",
  "coordinator/log/wal/segment-header.ts",
  "participant/branches/{branch,judgement,carrier-memory}.ts",
  "participant/shard/{shard,sqlstate,xid,wire-values,wait-chains,lock-modes}.ts",
  "shared/model/**/*.ts",
  "test/histories/{history,list-append,audit,report}/**/*.ts",
  "test/histories/promise.ts",
];

const impureGlobals = [
  "Date",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "clearTimeout",
  "clearInterval",
  "process",
  "console",
  "fetch",
  "crypto",
];

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", ".synod/", "coverage/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 70 }],
      complexity: ["error", 20],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  {
    files: pureFiles,
    rules: {
      "no-restricted-globals": [
        "error",
        ...impureGlobals.map((name) => ({
          name,
          message: "PURE file: take time, randomness and IO as inputs.",
        })),
      ],
      "no-restricted-properties": [
        "error",
        {
          object: "Math",
          property: "random",
          message: "PURE file: randomness arrives in the event.",
        },
      ],
      "no-restricted-syntax": [
        "error",
        { selector: ":function[async=true]", message: "PURE file: a step never waits." },
        { selector: "AwaitExpression", message: "PURE file: a step never waits." },
      ],
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    files: ["**/*.js", "**/*.cjs"],
    languageOptions: { globals: { module: "writable", process: "readonly", console: "readonly" } },
  },
);
