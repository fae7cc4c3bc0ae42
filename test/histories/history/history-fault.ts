/** A history that says what no run can have done: whoever recorded it made a mistake, and no verdict on it would mean anything. */
export class HistoryFault extends Error {
  override readonly name = "HistoryFault";
}
