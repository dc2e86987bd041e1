// mysql2 asks this package for RDS certificates. Lambda's own bundle has them (NODE_EXTRA_CA_CERTS).
module.exports = { ca: [] };
