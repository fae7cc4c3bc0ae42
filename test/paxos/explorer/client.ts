/** The application of most scopes: a client that submits one distinct value per ballot and slot, and nothing else. */
import { roundOf, ownerOf } from "../../../shared/model/ids.ts";
import { valueText } from "./canonical.ts";
import type { Application } from "./scope.ts";

export const CLIENT_ALONE: Application = {
  start: 0,
  stepped: (state) => state,
  moves: () => [],
  move: (state) => state,
  client: (_state, { role }) => {
    if (role.kind !== "leader") return undefined;
    const under = `${roundOf(role.ballot)}.${ownerOf(role.ballot) ?? 0}`;
    return new TextEncoder().encode(`value of ${under} for slot ${role.nextSlot}`);
  },
  conflict: () => undefined,
  sights: new Set(),
  describeMove: String,
  describeChange: () => [],
  describeValue: valueText,
};
