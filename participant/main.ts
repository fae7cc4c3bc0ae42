/** Entry of a participant's process: settings in, service up, signals down. */
import { ConfigError } from "../shared/runtime/config-reading.ts";
import { createLogger } from "../shared/runtime/logger.ts";
import { runService } from "../shared/runtime/shutdown.ts";
import { readParticipantConfig, type ParticipantConfig } from "./config.ts";
import { startParticipant } from "./participant.ts";

/** Beyond the drain timeout: closing the connections. */
const CLOSING_MS = 5_000;

function readConfigOrExit(): ParticipantConfig {
  try {
    return readParticipantConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

const config = readConfigOrExit();
const { clusterId, shardId: shard } = config;
const logger = createLogger({ service: "participant", clusterId, shard }, config.logLevel);
await runService({
  logger,
  start: (onFatal) => startParticipant({ config, logger, onFatal }),
  stopDeadlineMs: config.drainTimeoutMs + CLOSING_MS,
});
