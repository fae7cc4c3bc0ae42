import { testShardContract } from "../../participant/shard-contract.ts";
import { createShard } from "./postgres-fixture.ts";

testShardContract(createShard);
