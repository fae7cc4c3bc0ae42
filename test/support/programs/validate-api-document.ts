/** Reads an OpenAPI document from the standard input; ends with an error that says what is wrong with it. */
import { json } from "node:stream/consumers";
import SwaggerParser from "@apidevtools/swagger-parser";

await SwaggerParser.validate((await json(process.stdin)) as never);
