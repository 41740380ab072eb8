"""`gradrace history`: record (HEAD against an anchor), show (the page), export (files of asv's);
places says where a history lies."""
