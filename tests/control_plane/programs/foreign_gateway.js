// A foreign gateway, with the library `ws` of Node: it prints each message as a line of JSON.
const WebSocket = require("ws");

const [url, token] = process.argv.slice(2);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const socket = new WebSocket(url, { headers: { "api-key": token } });

socket.on("message", (data) => {
  const message = JSON.parse(data.toString());
  say({ message });
  if (message.type === "connection.ack") {
    socket.send(JSON.stringify({ type: "deployment.ack", deploymentId: "x", status: "success", newer: true }));
    socket.send(JSON.stringify({ type: "heartbeat", instanceId: "node" }));
  }
});
socket.on("ping", () => say({ ping: true }));
socket.on("unexpected-response", (request, response) => {
  say({ status: response.statusCode });
  process.exit(0);
});
socket.on("close", (code, reason) => say({ closed: code, reason: reason.toString() }));
socket.on("error", (error) => say({ error: error.message }));
