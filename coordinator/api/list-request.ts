/** Reads the query of `GET /v1/transactions`. */
import { ListRequest } from "../../shared/model/listing.ts";
import { InvalidRequest } from "./problem.ts";
import { readAs } from "./request-body.ts";

/** Throws InvalidRequest; an unknown name is an error, as in a body. */
export function readListRequest(url: string): ListRequest {
  const query = new URLSearchParams(url.split("?", 2)[1]);
  const given = [...query.keys()];
  const repeated = given.find((name, index) => given.indexOf(name) !== index);
  if (repeated !== undefined) {
    throw new InvalidRequest("invalid-request", [{ field: repeated, sentence: "is given twice" }]);
  }
  return readAs(ListRequest, Object.fromEntries(query));
}
