import { testShardContract } from "../../participant/shard-contract.ts";
import { createShard } from "./postgres-fixture.ts";

testShardContract(async () => {
  const { shard, close } = await createShard();
  return { shard, close };
});
