/** The statements that both shards of the contract understand, and names for what they are run under. */
import type { Param } from "../../shared/model/api.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import type { BranchOperation } from "../../shared/model/protocol.ts";

export const ADD = "update items set value = value + $1 where id = $2";
export const READ = "select value from items where id = $1";
export const NOTE = "insert into entries (id, note) values ($1, $2)";
export const LIST = "select id from entries order by id";

export const operation = (sql: string, ...params: Param[]): BranchOperation => ({
  sql,
  params,
  index: 0,
});

export const gid = (name: string): GlobalId => `synod_test_1-1-${name}_s1` as GlobalId;
