/** Requests and replies between coordinator and participant, in a few words for the trace. */
import type { BranchReplies, BranchRequest } from "../../../shared/model/protocol.ts";

export function describeRequest(request: BranchRequest): string {
  switch (request.kind) {
    case "execute":
    case "executeOnePhase":
      return `${request.kind} ${request.carrierId} b${request.ballot}`;
    case "commit":
      return `commit ${shortGid(request.gid)} xid ${request.xid}`;
    case "abort":
      return `abort ${shortGid(request.gid)}`;
    case "list":
      return `list b${request.ballot}`;
    case "settle":
      return `settle ${request.transactionId}`;
    case "statement":
      return `statement ${request.seq} of ${request.carrierId} b${request.ballot}: ${request.action.kind}`;
    case "prepare":
      return `prepare ${request.carrierId} b${request.ballot}`;
    case "keep":
      return `keep ${request.gids.map(shortGid).join(" ")}`;
  }
}

export function describeReply(request: BranchRequest, reply: unknown): string {
  const said = reply as BranchReplies[BranchRequest["kind"]];
  const about = `to ${describeRequest(request)}: `;
  switch (said.kind) {
    case "no":
    case "failed":
      return `${about}no, ${said.refusal.code} (${said.refusal.sentence})`;
    case "lost":
    case "retry":
    case "unknown":
      return `${about}${said.kind} (${said.sentence})`;
    case "prepared":
      return "branches" in said
        ? `${about}${said.branches.map(({ gid }) => shortGid(gid)).join(" ")}`
        : `${about}prepared xid ${said.xid}`;
    case "kept":
      return `${about}unknown ${said.unknown.map(shortGid).join(" ")}`;
    case "ran":
    case "readOnly":
    case "committed":
    case "aborted":
      return `${about}${said.kind}`;
  }
}

/** What kind of answer it was, for the tally. */
export function summaryOf(request: BranchRequest, reply: unknown): string {
  const said = reply as BranchReplies[BranchRequest["kind"]];
  const how =
    "evidence" in said
      ? ` by ${said.evidence}`
      : "replayed" in said && said.replayed
        ? " before"
        : "";
  return `${request.kind}: ${said.kind}${how}`;
}

/** The carrier id within a gid. */
function shortGid(gid: string): string {
  return gid.split("_")[2] ?? gid;
}
