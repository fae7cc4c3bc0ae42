/**
 * Which statements a client may send, decided on Postgres' own syntax tree.
 *
 * A statement must end with the transaction: it may not end it, outlive it, or change the session or server around
 * it. Functions that do so look like any SELECT, so the whole tree is walked. This list is the second fence: the
 * first one is the rights of the shard's role, because a user-defined function may hide anything from a parser.
 */

/** A statement belongs to all classes of which it does something, however deep within it. */
export const STATEMENT_CLASSES = ["select", "insert", "update", "delete", "merge"] as const;
export type StatementClass = (typeof STATEMENT_CLASSES)[number];

export type StatementVerdict =
  | {
      readonly ok: true;
      /** The highest `$n` of the statement; 0 when it takes no parameters. */
      readonly parameterCount: number;
      /** What the statement does, each once. */
      readonly classes: readonly StatementClass[];
      /** False: it could tell, or change, what else its Postgres transaction holds. */
      readonly mayShare: boolean;
    }
  | {
      readonly ok: false;
      readonly code: "statement-not-allowed" | "sql-error";
      readonly sentence: string;
    };

type Tree = Readonly<Record<string, unknown>>;

/** Where they modify; a SELECT counts as what it is only at the top. */
const MODIFIES: Readonly<Record<string, StatementClass>> = {
  InsertStmt: "insert",
  UpdateStmt: "update",
  DeleteStmt: "delete",
  MergeStmt: "merge",
};
const ALLOWED = new Set(["SelectStmt", ...Object.keys(MODIFIES)]);
const ALLOWED_WORDS = "only SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and WITH are";

/** Where the parser's name of a statement is not the word that its author wrote. */
const STATEMENT_WORDS: Readonly<Record<string, string>> = {
  CreateStmt: "CREATE TABLE",
  CreateTableAsStmt: "CREATE TABLE AS",
  CreatedbStmt: "CREATE DATABASE",
  DropdbStmt: "DROP DATABASE",
  IndexStmt: "CREATE INDEX",
  ViewStmt: "CREATE VIEW",
  RuleStmt: "CREATE RULE",
  CreateTrigStmt: "CREATE TRIGGER",
  VariableSetStmt: "SET",
  VariableShowStmt: "SHOW",
  ConstraintsSetStmt: "SET CONSTRAINTS",
  CheckPointStmt: "CHECKPOINT",
  ClosePortalStmt: "CLOSE",
  DefineStmt: "CREATE",
  RenameStmt: "ALTER … RENAME",
  GrantStmt: "GRANT or REVOKE",
  GrantRoleStmt: "GRANT or REVOKE",
  SecLabelStmt: "SECURITY LABEL",
  TransactionStmt: "transaction control",
};

const FORBIDDEN_FUNCTIONS = new Set([
  "lo_export",
  "lo_import",
  "pg_cancel_backend",
  "pg_create_restore_point",
  "pg_export_snapshot",
  "pg_hba_file_rules",
  "pg_import_system_collations",
  "pg_log_backend_memory_contexts",
  "pg_log_standby_snapshot",
  "pg_logical_emit_message",
  "pg_notify",
  "pg_promote",
  "pg_reload_conf",
  "pg_rotate_logfile",
  "pg_start_backup",
  "pg_stat_file",
  "pg_stop_backup",
  "pg_switch_wal",
  "pg_sync_replication_slots",
  "pg_terminate_backend",
  "ts_rewrite",
  "ts_stat",
  "xpath_table",
]);

/** Session-level locks, other servers, the server's files, its replication, and SQL hidden in a text. */
const FORBIDDEN_FUNCTION_PATTERN =
  /^(?:pg_(?:try_)?advisory_(?:lock|unlock)|dblink|pg_read_|pg_ls_|pg_file_|pg_backup_|pg_wal_replay_|pg_stat_reset|pg_replication_|pg_(?:create|drop|copy|alter)_.*(?:slot|subscription)|pg_logical_slot_|(?:query|cursor)_to_xml|crosstab|connectby)/;

/** What lasts for a transaction, and the number that it has. */
const OF_A_TRANSACTION = /^(?:set_config$|txid_|pg_current_xact|pg_current_snapshot$)/;

/** Settings that only change how values are read, shown or found; names with a dot belong to the application. */
const LOCAL_SETTINGS = new Set([
  "timezone",
  "datestyle",
  "intervalstyle",
  "extra_float_digits",
  "work_mem",
  "jit",
]);

/** The statements of one text, as the parser lists them. */
export function judge(statements: readonly unknown[]): StatementVerdict {
  if (statements.length === 0) return refuse("the statement is empty");
  if (statements.length > 1) {
    return refuse(`there are ${statements.length} statements where exactly one is allowed`);
  }
  const [kind, body] = statementOf(statements[0]);
  if (!ALLOWED.has(kind)) {
    return refuse(
      `${statementWords(kind, body)} is not allowed in a transaction: ${ALLOWED_WORDS}`,
    );
  }
  return walk({ [kind]: body });
}

function refuse(sentence: string): StatementVerdict {
  return { ok: false, code: "statement-not-allowed", sentence };
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null;
}

function statementOf(raw: unknown): [kind: string, body: Tree] {
  const node = isTree(raw) && isTree(raw["stmt"]) ? raw["stmt"] : {};
  const [entry] = Object.entries(node);
  return entry !== undefined && isTree(entry[1]) ? [entry[0], entry[1]] : ["unknown", {}];
}

function statementWords(kind: string, body: Tree): string {
  const detail = body["kind"];
  if (kind === "TransactionStmt" && typeof detail === "string") {
    return detail
      .replace(/^TRANS_STMT_/, "")
      .replace(/^PREPARE$/, "PREPARE TRANSACTION")
      .replaceAll("_", " ");
  }
  if (kind === "VariableSetStmt" && typeof detail === "string" && detail.startsWith("VAR_RESET")) {
    return "RESET";
  }
  if (kind === "VacuumStmt" && body["is_vacuumcmd"] !== true) return "ANALYZE";
  const words = kind.replace(/Stmt$/, "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ");
  return STATEMENT_WORDS[kind] ?? words.toUpperCase();
}

/** With a stack of our own: a tree may be deeper than the thread's stack. */
function walk(root: Tree): StatementVerdict {
  const open: unknown[] = [root];
  const classes = new Set<StatementClass>("SelectStmt" in root ? ["select"] : []);
  let parameterCount = 0;
  let mayShare = true;
  while (open.length > 0) {
    const node = open.pop();
    if (!isTree(node)) continue;
    for (const [key, value] of Object.entries(node)) {
      if (!isTree(value)) continue;
      const sentence = objection(key, value);
      if (sentence !== undefined) return refuse(sentence);
      if (key === "ParamRef")
        parameterCount = Math.max(parameterCount, Number(value["number"] ?? 0));
      if (key === "FuncCall" && OF_A_TRANSACTION.test(functionName(value))) mayShare = false;
      const done = classOf(key, value);
      if (done !== undefined) classes.add(done);
      open.push(value);
    }
  }
  return { ok: true, parameterCount, classes: [...classes], mayShare };
}

/** Rows that are locked, or met by `on conflict do update`, need the right to update them in Postgres, too. */
function classOf(key: string, value: Tree): StatementClass | undefined {
  const updates =
    key === "LockingClause" ||
    (key === "onConflictClause" && value["action"] === "ONCONFLICT_UPDATE");
  return updates ? "update" : MODIFIES[key];
}

function objection(key: string, value: Tree): string | undefined {
  switch (key) {
    case "intoClause":
      return "SELECT INTO is not allowed in a transaction: it creates a table";
    case "FuncCall":
      return callObjection(value);
    case "A_Indirection":
      return attributeObjection(value["indirection"]);
    case "ColumnRef":
      return attributeObjection((value["fields"] as readonly Tree[] | undefined)?.slice(1));
    case "InsertStmt":
    case "UpdateStmt":
    case "DeleteStmt":
    case "MergeStmt":
      return targetObjection(value);
    default:
      return undefined;
  }
}

/** An update of the view pg_settings is a SET for the whole session. */
function targetObjection(statement: Tree): string | undefined {
  const relation = isTree(statement["relation"]) ? statement["relation"] : {};
  const name = relation["relname"];
  return typeof name === "string" && name.startsWith("pg_")
    ? `writing to ${name} is not allowed: it belongs to the server`
    : undefined;
}

function functionName(call: Tree): string {
  const names = (call["funcname"] as readonly Tree[] | undefined) ?? [];
  return textOf(names.at(-1), "String") ?? "";
}

function callObjection(call: Tree): string | undefined {
  const name = functionName(call);
  const parts = (call["args"] as readonly Tree[] | undefined) ?? [];
  if (name === "set_config") return settingObjection(parts);
  return isForbidden(name)
    ? `the function ${name} is not allowed: it reaches beyond the transaction`
    : undefined;
}

/** What is no column of `x` in `x.name` is the call `name(x)`, whatever type `x` has. */
function attributeObjection(names: unknown): string | undefined {
  const attributes = (names as readonly Tree[] | undefined) ?? [];
  const name = attributes.map((node) => textOf(node, "String") ?? "").find(isForbidden);
  return name === undefined
    ? undefined
    : `the name ${name} is not allowed behind a dot, where it may call a function that reaches beyond the transaction`;
}

function isForbidden(name: string): boolean {
  return FORBIDDEN_FUNCTIONS.has(name) || FORBIDDEN_FUNCTION_PATTERN.test(name);
}

function textOf(node: Tree | undefined, kind: "String"): string | undefined {
  const inner = node?.[kind];
  const text = isTree(inner) ? inner["sval"] : undefined;
  return typeof text === "string" ? text : undefined;
}

function constant(node: Tree | undefined): Tree | undefined {
  const inner = node?.["A_Const"];
  return isTree(inner) ? inner : undefined;
}

function settingObjection(parts: readonly Tree[]): string | undefined {
  const local = constant(parts[2])?.["boolval"];
  if (!isTree(local) || local["boolval"] !== true) {
    return "the function set_config is allowed only with the literal true as its third argument (is_local)";
  }
  const setting = constant(parts[0])?.["sval"];
  const name = isTree(setting) ? setting["sval"] : undefined;
  if (typeof name !== "string") {
    return "the function set_config is allowed only with a literal name of the setting";
  }
  return name.includes(".") || LOCAL_SETTINGS.has(name.toLowerCase())
    ? undefined
    : "the function set_config is allowed only for settings of the application (with a dot in the name)";
}
