/**
 * From what a client asks to be run to what is run: names become texts, and what can be refused without asking a shard is
 * refused, with the place in the body.
 *
 * Whoever forwards has judged rights and put texts in the place of names; so of what a node passes on only the form is
 * looked at.
 */
import type { AskedOperation, Operation } from "../../shared/model/api.ts";
import type { ErrorCode } from "../../shared/model/errors.ts";
import { checkStatement, type StatementVerdict } from "../../shared/runtime/sql-statement.ts";
import type { Principal } from "./access/gate.ts";
import { lackOf } from "./access/rights.ts";
import type { NamedStatement, Statements } from "./access/statements.ts";
import { fieldPath } from "./field-path.ts";
import type { FieldError } from "./field-errors.ts";
import { InvalidRequest } from "./problem.ts";

export interface Terms {
  readonly shards: readonly string[];
  readonly statements: Statements;
  readonly caller: Pick<Principal, "rights" | "isForwarded">;
  /** Only what reads is taken, and locks no row. */
  readonly readsOnly?: boolean;
}

/** An operation, and where it stands in the body. */
export interface Placed {
  readonly path: readonly PropertyKey[];
  readonly operation: AskedOperation;
}

interface Found extends Placed {
  readonly operation: Operation;
  /** Undefined for one that is given by its text, or was found by another node. */
  readonly named: NamedStatement | undefined;
  readonly verdict: StatementVerdict;
}

/** Throws InvalidRequest. The statement parser must be loaded. */
export function readOperations(placed: readonly Placed[], terms: Terms): Operation[] {
  const found = placed.map((one) => withText(one, terms));
  refuse("forbidden", found, (one) => objectionToRights(one, terms.caller));
  refuse("unknown-shard", found, ({ operation: { shard } }) =>
    terms.shards.includes(shard) ? undefined : ["shard", `there is no shard "${shard}"`],
  );
  for (const { path, operation, verdict } of found) {
    if (verdict.ok) continue;
    throw new InvalidRequest(verdict.code, [at(path, fieldOfText(operation), verdict.sentence)]);
  }
  refuse("invalid-request", found, objectionToPlaceOrCount);
  if (terms.readsOnly === true) refuse("statement-not-allowed", found, objectionToWriting);
  return found.map(({ operation }) => operation);
}

function withText({ path, operation }: Placed, { statements, caller }: Terms): Found {
  const { sql, statement: name } = operation;
  const fail = (code: ErrorCode, field: string, sentence: string): never => {
    throw new InvalidRequest(code, [at(path, field, sentence)]);
  };
  if (sql !== undefined) {
    if (name !== undefined && !caller.isForwarded) {
      return fail("invalid-request", "statement", "stands in place of sql: give one of the two");
    }
    const verdict = checkStatement(sql);
    return { path, operation: { ...operation, sql }, named: undefined, verdict };
  }
  if (name === undefined) {
    return fail("invalid-request", "sql", "is needed, or the name of a statement");
  }
  const named = statements.named(name);
  if (named === undefined) {
    return fail("unknown-statement", "statement", `there is no statement "${name}"`);
  }
  const verdict = checkStatement(named.sql);
  return { path, operation: { ...operation, sql: named.sql }, named, verdict };
}

function fieldOfText({ statement }: Operation): "sql" | "statement" {
  return statement === undefined ? "sql" : "statement";
}

type Objection = readonly [field: string, sentence: string] | undefined;

function objectionToRights(
  { operation: { shard, statement: name }, verdict }: Found,
  { rights, isForwarded }: Terms["caller"],
): Objection {
  if (isForwarded) return undefined;
  const classes = verdict.ok ? verdict.classes : [];
  const lack = lackOf(rights, { shard, name, classes });
  return lack === undefined ? undefined : [lack.field, lack.sentence];
}

function objectionToPlaceOrCount({ operation, named, verdict }: Found): Objection {
  const { shard, statement: name, params } = operation;
  if (named?.shards?.includes(shard) === false) {
    return ["shard", `the statement "${name}" does not run on ${shard}`];
  }
  if (!verdict.ok || verdict.parameterCount === params.length) return undefined;
  const takes = `the statement takes ${verdict.parameterCount}`;
  return ["params", `holds ${params.length} values, but ${takes}`];
}

/** Postgres would refuse it, too, but only when the shards have begun. */
function objectionToWriting({ operation, verdict }: Found): Objection {
  const writing = verdict.ok ? verdict.classes.find((one) => one !== "select") : undefined;
  if (writing === undefined) return undefined;
  const sentence = `counts as ${writing}, but a read takes only what changes no row and locks none (for update, for share)`;
  return [fieldOfText(operation), sentence];
}

function refuse(
  code: ErrorCode,
  found: readonly Found[],
  objectionTo: (one: Found) => Objection,
): void {
  const errors = found.flatMap((one) => {
    const objection = objectionTo(one);
    return objection === undefined ? [] : [at(one.path, ...objection)];
  });
  if (errors.length > 0) throw new InvalidRequest(code, errors);
}

function at(path: Placed["path"], field: string, sentence: string): FieldError {
  return { field: fieldPath([...path, field]), sentence };
}
