#!/usr/bin/awk -f
# Print every command that stands in a fenced block of a Markdown file, one per line; a backslash at the end joins lines.
/^```/ { fenced = !fenced; line = ""; next }
fenced {
  sub(/^\$ /, "")
  if (sub(/\\$/, "")) { line = line $0; next }
  print line $0
  line = ""
}
