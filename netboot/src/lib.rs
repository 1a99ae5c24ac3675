//! Boot profiles and the TFTP, HTTP and DHCP servers that hand them out.
