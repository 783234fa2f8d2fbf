package traffic

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// mapped is 0.0.0.0, mapped into IPv6.
var mapped = [16]byte{10: 0xff, 11: 0xff}

func loopback(ip *[16]byte) bool {
	if [12]byte(ip[:12]) == [12]byte(mapped[:12]) {
		return ip[12] == 127
	}
	return *ip == [16]byte{15: 1}
}

// Net is a range of addresses.
type Net struct {
	ip   [16]byte
	bits int // length of the prefix, counted in the mapped address
}

// ParseNets parses one Net, or several with commas between them, the form of
// Kubernetes' status.hostIPs and status.podIPs.
func ParseNets(s string) (nets []Net, err error) {
	for more := true; more && err == nil; {
		var one string
		var n Net
		one, s, more = strings.Cut(s, ",")
		n, err = ParseNet(one)
		nets = append(nets, n)
	}
	return nets, err
}

// ParseNet parses "10.0.0.0/8", "fd00::/8", or an address, which is a range of
// one.
func ParseNet(s string) (Net, error) {
	addr, length, isRange := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(addr)
	bits := ip.BitLen()
	if isRange && err == nil {
		var n uint64
		n, err = strconv.ParseUint(length, 10, 8)
		bits = int(n)
	}
	if err != nil || ip.Zone() != "" || bits > ip.BitLen() {
		return Net{}, fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/8 or fd00::/8", s)
	}
	return Net{ip.As16(), 128 - ip.BitLen() + bits}, nil
}

func (n *Net) contains(ip *[16]byte) bool {
	for i := range n.bits {
		if (n.ip[i/8]^ip[i/8])<<(i%8)&0x80 != 0 {
			return false
		}
	}
	return true
}
