// Makes calls with the AWS SDK for JavaScript, one JSON line each:
// {"operation", "params"} gives {"output", "status"} or {"code", "message", "status"}.

import { createInterface } from "node:readline";
import * as sdk from "@aws-sdk/client-codepipeline";

const client = new sdk.CodePipelineClient({
  endpoint: process.env.ENDPOINT_URL,
  region: process.env.AWS_REGION,
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
  maxAttempts: 1,
});

async function call({ operation, params }) {
  try {
    const { $metadata, ...output } = await client.send(new sdk[`${operation}Command`](params));
    return { output, status: $metadata.httpStatusCode };
  } catch (error) {
    return { code: error.name, message: error.message, status: error.$metadata?.httpStatusCode };
  }
}

// JSON has no dates, and the SDK accepts only dates as timestamps.
const dated = (name, value) =>
  name === "created" && typeof value === "number" ? new Date(1000 * value) : value;

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await call(JSON.parse(line, dated)))}\n`);
}
