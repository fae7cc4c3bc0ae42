/** Why a request over a channel got no answer. */

/** It was certainly not sent. */
export class ChannelDown extends Error {
  override readonly name = "ChannelDown";
}

/** The connection ended before the answer came. */
export class ChannelClosed extends Error {
  override readonly name = "ChannelClosed";
}

/** The answer did not come in time; it may still be under way. */
export class ChannelTimeout extends Error {
  override readonly name = "ChannelTimeout";
}

/** The other side's handler failed. */
export class ChannelRemoteError extends Error {
  override readonly name = "ChannelRemoteError";
}
