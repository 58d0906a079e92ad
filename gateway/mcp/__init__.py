"""MCP (Model Context Protocol): servers of tools behind one path, one passed through or several as one."""
