// The requests of the buttons, each also as the equivalent command.

const TARGETS = { codepipeline: "CodePipeline_20150709" };
const LOCAL = "/_local/codepipeline/";

let region = "us-east-1";

export function inRegion(name) {
  region = name;
}

// The local stack accepts any credentials.
function signed(service, headers) {
  const scope = `local/20260101/${region}/${service}/aws4_request`;
  return { Authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=local`, ...headers };
}

function quoted(text) {
  return /^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function words(name) {
  return name.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
}

// The command names the endpoint and credentials, so that it never reaches a real account.
function cli(service, operation, more) {
  const program = "AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws";
  return [program, service, operation, ...more, "--endpoint-url", location.origin, "--region", region].join(" ");
}

export function aws(service, operation, parameters) {
  const options = Object.entries(parameters).flatMap(([name, value]) => {
    if (value === true) return [`--${words(name)}`];
    return [`--${words(name)}`, quoted(typeof value === "string" ? value : JSON.stringify(value))];
  });
  const headers = { "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": `${TARGETS[service]}.${operation}` };
  return {
    command: cli(service, words(operation), options),
    send: () => post("/", signed(service, headers), parameters),
  };
}

// The payload comes from standard input, which versions 1 and 2 of the AWS CLI read in the same way.
export function invoke(name, event) {
  const options = ["--function-name", name, "--payload", "fileb:///dev/stdin", "/dev/stdout"];
  return {
    command: `echo ${quoted(JSON.stringify(event))} | ${cli("lambda", "invoke", options)}`,
    send: () => post(`/2015-03-31/functions/${name}/invocations`, signed("lambda", {}), event),
  };
}

export function local(method, name, body) {
  const headers = { "Content-Type": "application/json" };
  const url = `${LOCAL}${name}`;
  const data = `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  return {
    command: `curl -X ${method} ${data} ${location.origin}${url}`,
    send: () => post(url, headers, body, method),
  };
}

// "" on success, otherwise the reason.
async function post(url, headers, body, method = "POST") {
  try {
    const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok && !answer.headers.has("X-Amz-Function-Error")) return "";
    return said.message ?? said.Message ?? said.errorMessage ?? `The request failed with status ${answer.status}.`;
  } catch {
    return "The local stack does not answer.";
  }
}
