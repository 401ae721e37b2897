package awskms

import "time"

// SetTimeout changes the time limit of a call.
func (k *KMS) SetTimeout(d time.Duration) { k.timeout = d }
