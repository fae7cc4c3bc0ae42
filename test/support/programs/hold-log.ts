/** Opens a log, appends one record, says so, and holds the log until it is killed. */
import { WriteAheadLog } from "../../../coordinator/log/wal/wal.ts";
import { accepted, IDENTITY } from "../../log/records.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: hold-log DIRECTORY");

const log = new WriteAheadLog({ directory, identity: IDENTITY });
await log.open();
await log.append([accepted(1)]);
process.stdout.write("held\n");
process.stdin.resume();
