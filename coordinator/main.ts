/** Entry of a coordinator node's process: settings in, service up, signals down. */
import { ConfigError } from "../shared/runtime/config-reading.ts";
import { armedFailpoints } from "../shared/runtime/failpoints.ts";
import { createLogger } from "../shared/runtime/logger.ts";
import { runService } from "../shared/runtime/shutdown.ts";
import { loadSqlParser } from "../shared/runtime/sql-statement.ts";
import { readCoordinatorConfig, type CoordinatorConfig } from "./config.ts";
import { startCoordinator } from "./coordinator.ts";

/** Beyond the drain timeout: closing the log and the connections. */
const CLOSING_MS = 5_000;

// Named statements are checked with the rest of the settings.
await loadSqlParser();

function readConfigOrExit(): CoordinatorConfig {
  try {
    return readCoordinatorConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

const config = readConfigOrExit();
const failpoint = armedFailpoints(process.env);
const { clusterId, nodeId: node } = config;
const logger = createLogger({ service: "coordinator", clusterId, node }, config.logLevel);
await runService({
  logger,
  start: (onFatal) => startCoordinator({ config, logger, onFatal, failpoint }),
  stopDeadlineMs: config.drainTimeoutMs + CLOSING_MS,
});
