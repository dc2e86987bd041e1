// Of undici its pools alone: with fetch, WebSocket, caches and mocks it would be 370 kB more of a function.
module.exports = { Agent: require('../../../node_modules/undici/lib/dispatcher/agent.js') };
